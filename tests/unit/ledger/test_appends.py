"""Appends in one repository without a remote: races by a git that is meddled with, repeats, damage, the words of a commit."""

from __future__ import annotations

import itertools

import pytest
from mlrelease.errors import Error
from mlrelease.forge.command import Completed
from mlrelease.forge.git import Git
from mlrelease.ledger import ledger as ledgers
from mlrelease.ledger import spool as spools
from mlrelease.ledger.filelock import held as locked
from mlrelease.ledger.ledger import Ledger, LedgerMoved
from mlrelease.model.event import DeployStarted, Owner
from structlog.testing import capture_logs
from support.repositories import NOW, git, held, repository

pytestmark = pytest.mark.xdist_group("ledger_appends")

REF = "refs/heads/mlrelease/ledger"
NAMES = itertools.count()
MOVED = Completed(1, b"", "fatal: cannot lock ref: is at aaaa but expected bbbb")


class Meddled(Git):
    """A git with somebody else in the repository: `before` is called before a command of that name, or answers for it."""

    def __init__(self, path) -> None:
        super().__init__(path)
        self.before = {}

    def call(self, *arguments, **options):
        rest = arguments[arguments.index("update-ref") :] if "update-ref" in arguments else arguments
        act = self.before.get(rest[0])
        answer = act() if act is not None else None
        return answer if answer is not None else super().call(*arguments, **options)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The one repository of this module; each test has an environment of its own in its ledger."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        (home / ".gitconfig").write_text("[user]\n\tname = T\n\temail = t@example.com\n")
        patch.setenv("HOME", str(home))
        return repository(tmp_path_factory.mktemp("appends") / "one")


@pytest.fixture
def name():
    """An environment that nobody wrote to yet."""
    return f"env-{next(NAMES)}"


@pytest.fixture
def meddled(path):
    return Meddled(path)


@pytest.fixture
def it(meddled, tmp_path):
    return Ledger(meddled, remote=None, spool=tmp_path / "spool", now=lambda: NOW)


@pytest.fixture
def other(path, tmp_path):
    """The ledger as another process has it open."""
    return Ledger(Git(path), remote=None, spool=tmp_path / "spool-2", now=lambda: NOW + 5)


def start(number, name):
    return DeployStarted(f"S{number}", name, NOW, "ann", "0" * 40, "deploy", Owner("h", 1, 1.0), NOW + 60)


def ids(view):
    return [event.id for event in view.events]


def test_somebody_who_was_faster_comes_first_and_the_chain_holds(it, other, meddled, name):
    """The swap is lost, the append is made anew behind the other's event; none is lost, none twice."""
    meddled.before["update-ref"] = lambda: (meddled.before.clear(), other.append([held(2, name)]))[0]
    assert it.append([held(1, name)]).height == 2
    assert ids(it.read(name)) == ["E2", "E1"]
    assert it.verify(name) == ()


def test_a_claim_that_somebody_was_faster_than_is_no_claim(it, other, meddled, name):
    """The height it was made at does not hold at the moment of the swap."""
    meddled.before["update-ref"] = lambda: (meddled.before.clear(), other.append([held(2, name)]))[0]
    with pytest.raises(LedgerMoved) as caught:
        it.append([start(1, name)], expect_height=0)
    assert caught.value.message == f"the ledger of {name} moved on: it has 1 events, 0 were expected"
    assert caught.value.hint == "read it again and decide anew"
    assert ids(it.read(name)) == ["E2"]


def test_an_event_in_another_environment_does_not_spoil_a_claim(it, other, meddled, name):
    """Heights are counted for each environment alone; the swap is simply made anew."""
    meddled.before["update-ref"] = lambda: (meddled.before.clear(), other.append([held(2, f"{name}-b")]))[0]
    assert it.append([start(1, name)], expect_height=0).height == 1


def test_a_ledger_that_never_rests_is_an_error_for_a_claim_and_the_spool_for_the_rest(it, meddled, name, monkeypatch):
    """What happened is never given up; what was only wanted is."""
    monkeypatch.setattr(ledgers, "DEADLINES_S", {"ledger.append": 0.0})
    monkeypatch.setattr(ledgers, "BACKOFF_S", 0.0)
    meddled.before["update-ref"] = lambda: MOVED
    with pytest.raises(Error) as caught:
        it.append([start(1, name)], expect_height=0)
    assert (caught.value.message, caught.value.hint) == (
        "the ledger was written by others for 0 s without a gap",
        "try again",
    )
    assert it.read(name).events == ()
    appended = it.append([held(1, name)])
    assert (appended.height, appended.spooled) == (1, 1)
    assert (ids(it.read(name)), it.read(name).spooled) == (["E1"], 1)
    meddled.before.clear()
    assert it.flush().spooled == 0
    assert (ids(it.read(name)), it.read(name).spooled) == (["E1"], 0)


def test_what_happened_is_spooled_even_without_the_spool_s_lock(it, meddled, name, monkeypatch, tmp_path):
    """Somebody hangs with the lock, which only keeps claims apart: a receipt must not be lost for it."""
    monkeypatch.setattr(ledgers, "DEADLINES_S", {"ledger.append": 0.0})
    monkeypatch.setattr(spools, "DEADLINES_S", {"ledger.spool": 0.0})
    meddled.before["update-ref"] = lambda: MOVED
    with locked(tmp_path / "spool" / ".lock", wait_s=1, name="hangs"), capture_logs() as lines:
        assert it.append([held(1, name)]).spooled == 1
        with pytest.raises(Error, match="hangs on"):
            it.append([start(1, name)], expect_height=1)
    assert "writing to the spool without its lock" in [line["event"] for line in lines]


def test_the_same_event_again_is_not_written_again(it, path, name):
    """An answer was lost and the append is made once more: the same height, no commit; a claim holds as it did."""
    assert it.append([start(1, name)], expect_height=0).height == 1
    tip = git(path, "rev-parse", REF)
    assert it.append([start(1, name)], expect_height=0).height == 1
    assert git(path, "rev-parse", REF) == tip
    assert it.append([held(1, name), held(1, name)]).height == 2
    assert ids(it.read(name)) == ["S1", "E1"]


@pytest.mark.parametrize(
    "events",
    [[], ["a", "b"]],
    ids=["of nothing", "of two environments"],
)
def test_a_claim_is_of_exactly_one_environment(it, path, name, events):
    """Anything else is a mistake of the program, and writes nothing."""
    before = git(path, "for-each-ref", REF)
    with pytest.raises(ValueError, match="exactly one environment"):
        it.append([start(1, f"{name}-{one}") for one in events], expect_height=0)
    assert git(path, "for-each-ref", REF) == before


def test_half_a_character_goes_into_the_ledger_and_comes_back(it, other, name):
    """A server said it, a receipt quotes it: the record is kept, and its chain holds."""
    event = type(held(1))("E1", name, NOW, "ann", "it answered \ud800 and é")
    assert it.append([event, held(2, name)]).height == 2
    assert other.read(name).events == (event, held(2, name))
    assert other.verify(name) == ()


def test_the_words_of_a_commit_count_kinds_by_environment_and_name_blobs(it, path, name):
    """`git log` of the branch is a history that a person can read."""
    it.append(
        [held(1, f"{name}-b"), start(1, name), held(2, name), held(3, name)],
        blobs={f"golden/sha256-{name}.json": b"{}\n"},
    )
    assert git(path, "log", "-1", "--format=%B", REF) == (
        f"{name}: deploy_started, 2 held\n\n{name}-b: held\nledger: golden/sha256-{name}"
    )
    it.put_manifest(f"sha256:m-{name}", {"files": []})
    assert git(path, "log", "-1", "--format=%B", REF) == f"ledger: manifests/sha256-m-{name}"


def test_a_blob_that_is_no_json_is_an_error_and_one_that_is_no_object_is_none(it, name):
    """The first was tampered with or torn, the second is not ours."""
    for kind, data in (("torn", b"{"), ("list", b"[]")):
        it.append([], blobs={f"golden/sha256-{name}-{kind}.json": data})
    with pytest.raises(Error) as caught:
        it.golden(f"sha256:{name}-torn")
    assert caught.value.message == f"golden/sha256-{name}-torn.json in the ledger is damaged"
    assert caught.value.hint == "git log mlrelease/ledger shows who wrote it"
    assert it.golden(f"sha256:{name}-list") is None
    assert it.goldens([f"sha256:{name}-list", f"sha256:{name}-none"]) == {}


def test_the_first_golden_of_a_digest_stays_whoever_writes(it, other, name):
    """Also when the other one wrote between look and swap."""
    digest = f"sha256:{name}"
    it.put_golden(digest, {"rows": [1]})
    other.put_golden(digest, {"rows": [2]})
    assert other.golden(digest) == it.golden(digest) == {"rows": [1]}


def test_the_chain_is_what_read_folds(it, name):
    """Each link with the event, the digest of its file, and the one before it; the spool is not in it."""
    it.append([held(1, name), held(2, name)])
    one, two = it.chain(name)
    assert (one.event, two.event) == (held(1, name), held(2, name))
    assert (one.prev, two.prev, one.problem, two.problem) == ("", one.digest, "", "")
    assert it.chain(name, fetch=False) == (one, two)
    assert it.chain(f"{name}-none") == ()


@pytest.mark.parametrize("act", ["read", "environments"])
def test_a_tip_that_git_cannot_list_is_an_error_with_the_way_out(it, meddled, name, act):
    """A damaged object store is no empty history."""
    it.append([held(1, name)])
    fresh = Ledger(meddled, remote=None, spool=it._spool._folder, now=lambda: NOW)
    meddled.before["ls-tree"] = lambda: Completed(128, b"", "fatal: bad object")
    with pytest.raises(Error) as caught:
        fresh.read(name) if act == "read" else fresh.environments()
    assert caught.value.message.endswith(" cannot be read: fatal: bad object")
    assert caught.value.hint == "git fsck"


def test_nothing_to_write_makes_no_commit(it, path, name):
    """An empty flush, an append of nothing, a golden that is there."""
    it.append([held(1, name)])
    it.put_golden(f"sha256:{name}", {})
    tip = git(path, "rev-parse", REF)
    it.flush()
    it.append([])
    it.put_goldens([])
    it.put_golden(f"sha256:{name}", {})
    assert git(path, "rev-parse", REF) == tip
