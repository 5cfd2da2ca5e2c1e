"""The ledger's branch under others' hands: what each answer of git means, told by a git that says what the test wants."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge.command import Completed, PushRefusedError
from mlrelease.ledger.heartbeat import Heartbeat
from mlrelease.ledger.ref import TRIES, LedgerRef, RewrittenError, Tip
from structlog.testing import capture_logs

A, B, C, X = (letter * 40 for letter in "abcd")
"""Three commits in a row, and one of another history."""

OK = Completed(0, b"", "")
HERE = "refs/mlrelease/remote/ledger"


def said(messages, code=1, out=b""):
    return Completed(code, out, messages)


@dataclass
class Told:
    """A git with refs in a dict. `answers` are given to a command before anything is done; `asked` notes what was asked."""

    refs: dict[str, str] = field(default_factory=dict)
    there: list[str] = field(default_factory=list)
    objects: set[str] = field(default_factory=lambda: {A, B, C, X})
    answers: dict[str, list[Completed]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    path: Path = Path("/clone")

    def call(self, *arguments, **_options):
        while arguments[0] == "-c":
            arguments = arguments[2:]
        command = arguments[0]
        self.asked.append(command)
        if self.answers.get(command):
            return self.answers[command].pop(0)
        if command == "ls-remote":
            tip = self.there.pop(0) if len(self.there) > 1 else self.there[0] if self.there else ""
            return Completed(0, f"{tip}\trefs/heads/mlrelease/ledger\n".encode() if tip else b"", "")
        if command == "cat-file":
            return OK if arguments[-1].split("^")[0] in self.objects else said("fatal: not there")
        if command == "update-ref":
            name, new, old = arguments[-3:]
            if self.refs.get(name, "") != old:
                return said(f"fatal: cannot lock ref: is at {self.refs.get(name)} but expected {old}")
            self.refs[name] = new
        return OK

    def resolve(self, name):
        return self.refs.get(name)

    def is_ancestor(self, older, newer):
        return older in (A, B, C) and newer in (A, B, C) and older <= newer


def ref(git, remote="origin"):
    return LedgerRef(git, remote, "mlrelease/ledger")


def test_a_remote_without_a_ledger_and_a_clone_without_one():
    """Nothing is nothing."""
    assert ref(Told()).look() == Tip(None, None)
    assert ref(Told(), None).look() == Tip(None, None)


def test_what_is_known_is_not_fetched():
    """An agent looks every few seconds: one question a look."""
    git = Told({HERE: B}, [B])
    assert ref(git).look() == Tip(B, B)
    assert git.asked == ["ls-remote"]


def test_a_remote_that_went_on_is_followed():
    """The note here moves along."""
    git = Told({HERE: A}, [C])
    assert ref(git).look() == Tip(C, C)
    assert git.refs == {HERE: C}


@pytest.mark.parametrize("there", [A, ""], ids=["restored from a backup", "branch deleted"])
def test_a_remote_that_is_behind_is_not_believed(there):
    """Nothing that was recorded is given up: the tip is what is known here, and the lease is on what is there."""
    git = Told({HERE: B}, [there])
    assert ref(git).look() == Tip(B, there or None)
    assert git.refs == {HERE: B}


def test_another_history_is_said_with_the_way_back():
    """The whole text: what was seen here, and the command that restores it."""
    with pytest.raises(RewrittenError) as caught:
        ref(Told({HERE: B}, [X])).look()
    assert caught.value.message == ("the ledger at origin was rewritten: it does not continue bbbbbbbbbbbb, seen here before")
    assert caught.value.hint == f"compare the two; to restore: git push --force origin {B}:refs/heads/mlrelease/ledger"
    assert caught.value.where == "origin"


def test_a_tip_that_went_away_between_question_and_fetch_is_asked_for_again():
    """Moved back by a person in that moment: the next answer counts."""
    git = Told({HERE: A}, ["e" * 40, B])
    assert ref(git).look() == Tip(B, B)
    assert git.asked.count("ls-remote") == 2


def test_a_tip_that_is_never_there_is_given_up():
    """As a host that cannot be asked, so that what happens is spooled."""
    git = Told({HERE: A}, ["e" * 40])
    with pytest.raises(UnavailableError) as caught:
        ref(git).look()
    assert (caught.value.message, caught.value.hint) == ("the ledger at origin moves under every look", "try again")
    assert git.asked.count("fetch") == TRIES


@pytest.mark.parametrize(
    ("command", "doing"),
    [("ls-remote", "read origin"), ("fetch", "fetch the ledger from origin")],
)
def test_a_host_that_does_not_answer_is_unavailable(command, doing):
    """With what was tried and what to look at; no secret of its address."""
    git = Told({}, ["e" * 40], answers={command: [said("fatal: unable to access 'https://git.example.com/x'")]})
    with pytest.raises(UnavailableError) as caught:
        ref(git).look()
    assert caught.value.message.startswith(f"could not {doing}: ")
    assert "git ls-remote origin" in caught.value.hint


def test_a_row_of_another_ref_is_not_the_ledger():
    """`ls-remote` matches ends of names: `refs/heads/x/refs/heads/mlrelease/ledger` is somebody else's."""
    rows = f"{X}\trefs/heads/x/refs/heads/mlrelease/ledger\n{B}\trefs/heads/mlrelease/ledger\n".encode()
    git = Told({HERE: B}, answers={"ls-remote": [Completed(0, rows, "")]})
    assert ref(git).look() == Tip(B, B)


STALE = " ! [rejected] b -> mlrelease/ledger (stale info)\nerror: failed to push some refs to 'origin'"


def test_a_push_that_was_taken_is_noted():
    """The next look knows it."""
    git = Told({HERE: A})
    assert ref(git).swap(B, Tip(A, A))
    assert git.refs == {HERE: B}


@pytest.mark.parametrize(
    "messages",
    [STALE, " ! [rejected] b -> x (fetch first)", " ! [remote rejected] b -> x (incorrect old value provided)"],
    ids=["stale info", "fetch first", "incorrect old value"],
)
def test_a_push_that_lost_the_race_is_tried_anew(messages):
    """Not an error: somebody was faster."""
    git = Told({HERE: A}, answers={"push": [said(messages, out=messages.encode())]})
    assert not ref(git).swap(B, Tip(A, A))
    assert git.refs == {HERE: A}


def test_a_push_that_a_rule_forbids_is_refused():
    """To try again would not help."""
    messages = " ! [remote rejected] b -> mlrelease/ledger (protected branch hook declined)"
    git = Told({HERE: A}, answers={"push": [said(messages, out=messages.encode())]})
    with pytest.raises(PushRefusedError, match="hook declined"):
        ref(git).swap(B, Tip(A, A))


def test_a_push_that_arrived_counts_though_it_could_not_be_noted():
    """The event is in the ledger; to report a failure would write it twice."""
    git = Told({HERE: A}, answers={"update-ref": [said("fatal: cannot lock ref: disk full")]})
    with capture_logs() as lines:
        assert ref(git).swap(B, Tip(A, A))
    assert [line["event"] for line in lines] == ["could not note the new tip"]


MOVED = "error: cannot lock ref 'refs/heads/mlrelease/ledger': is at bbbb but expected aaaa"


@pytest.mark.parametrize(
    "messages",
    [
        MOVED,
        "fatal: cannot lock ref: reference already exists",
        "fatal: cannot lock ref 'x': unable to resolve reference 'x'",
        "fatal: cannot lock ref 'x': reference is missing but expected aaaa",
    ],
)
def test_without_a_remote_a_ref_that_moved_is_a_lost_race(messages):
    """Whatever words git has for it."""
    assert not ref(Told({}, answers={"update-ref": [said(messages)]}), None).swap(B, Tip(A, A))


def test_without_a_remote_another_failure_is_an_error():
    """To go on trying would hide it."""
    git = Told({}, answers={"update-ref": [said("fatal: no space left on device")]})
    with pytest.raises(Error, match=r"could not move the ledger on: .*no space left on device"):
        ref(git, None).swap(B, Tip(A, A))


def test_a_newer_note_of_another_process_stays():
    """It looked a moment later than we did."""
    git = Told({HERE: C})
    assert ref(git).swap(B, Tip(A, A))
    assert git.refs == {HERE: C}


def test_a_note_that_moves_under_every_write_is_given_up_and_said():
    """The look itself ends, so that an agent does not hang here."""
    git = Told({HERE: A}, [B], answers={"update-ref": [said(MOVED)] * (TRIES + 1)})
    with pytest.raises(Error) as caught:
        ref(git).look()
    assert caught.value.message == f"{HERE} moves under every write"
    assert ref(Told({HERE: A}, [B], answers={"update-ref": [said(MOVED)] * TRIES})).look() == Tip(B, B)


# -- the heartbeat beside it ----------------------------------------------------------------------------------------------


@dataclass
class Beating(Told):
    """A git that also makes commits and reads files of them."""

    data: bytes | None = None

    def graft(self, base, files, message, extra):
        self.data = files["heartbeat.json"]
        return C

    def run(self, *arguments):
        command, name, commit = arguments
        self.asked.append(command)
        self.refs[name] = commit

    def blobs(self, names):
        return [self.data]


@pytest.mark.parametrize(
    "data",
    [None, b"{", b"[]", b"null", b"7", b"\xff"],
    ids=["none yet", "torn", "a list", "null", "a number", "not UTF-8"],
)
def test_what_is_no_heartbeat_is_none(data):
    """Nobody is taken for alive by it, and no status ends over it."""
    assert Heartbeat(Beating(data=data), None, lambda: 0.0).read("staging") is None


def test_a_heartbeat_that_cannot_be_pushed_was_not_heard():
    """It is written here all the same, and the answer is no."""
    git = Beating(answers={"push": [said("fatal: unable to access the host")]})
    heart = Heartbeat(git, "origin", lambda: 0.0)
    with capture_logs() as lines:
        assert not heart.write("staging", {"at": 1})
    assert [(line["event"], line["environment"]) for line in lines] == [("heartbeat not written", "staging")]
    assert git.refs == {"refs/mlrelease/remote/heartbeat/staging": C}
    assert heart.write("staging", {"at": 2})


def test_a_remote_without_a_heartbeat_is_no_failure():
    """A new environment: nothing is logged, and there is none."""
    git = Beating(answers={"fetch": [said("fatal: couldn't find remote ref refs/mlrelease/heartbeat/staging")]})
    with capture_logs() as lines:
        assert Heartbeat(git, "origin", lambda: 0.0).read("staging") is None
    assert lines == []


def test_a_host_that_is_away_leaves_the_last_word_known_here():
    """And is said in the log."""
    git = Beating(answers={"fetch": [said("fatal: unable to access the host")]}, data=b'{"at": 1}')
    with capture_logs() as lines:
        assert Heartbeat(git, "origin", lambda: 0.0).read("staging") == {"at": 1}
    assert [line["event"] for line in lines] == ["heartbeat not fetched"]


def test_without_a_remote_the_heartbeat_lies_on_the_ref_itself():
    """Nothing is pushed, nothing fetched."""
    git = Beating()
    assert Heartbeat(git, None, lambda: 0.0).write("staging", {"at": 1})
    assert Heartbeat(git, None, lambda: 0.0).read("staging") == {"at": 1}
    assert git.asked == ["update-ref"]
    assert git.refs == {"refs/mlrelease/heartbeat/staging": C}
