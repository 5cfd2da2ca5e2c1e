"""What one look makes of records, processes and words: roles, failures, identities, and the last lines of a log."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mlrelease.errors import Error
from mlrelease.model.live import Identity, Instance, Role
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.look import TAIL_LINES, Ground, Word, instance, listen_to, stray_socket, tail
from mlrelease.targets.local.orphans import Found, Kind
from mlrelease.targets.local.state import Record, Routed, Table
from mlrelease.targets.local.supervisor import EXITED, FATAL, RUNNING, Process
from support.unix_http import answering, short_folder

RECORD = Record("risk-abc-1", "risk", "abc", "/s/1", "/c/1", "hash", generation=3, created_at=1.0)
SAID = {
    "service": "risk",
    "bundle": "abc",
    "image": "example/serve:1",
    "instance": "risk-abc-1",
    "runtime": "python 3.11",
    "started_at": "2026-01-01T00:00:00.000Z",
    "models": [{"name": "b", "version": "2", "digest": "sha256:2"}, {"name": "a", "version": "1", "digest": "sha256:1"}],
}


@pytest.fixture
def layout():
    with short_folder() as folder:
        layout = Layout(folder)
        layout.make()
        yield layout


def process(state=RUNNING, *, pid=5, status=0, ended=False, error=""):
    return Process(RECORD.id, state, pid, status, ended_before=ended, spawn_error=error)


def ground(*processes, found=(), generation=3):
    return Ground(generation, {p.name: p for p in processes}, found)


ORPHAN = Found(Kind.INSTANCE, RECORD.id, 99, 1.0)


@pytest.mark.parametrize(
    ("on", "served", "failure"),
    [
        (ground(process()), False, ""),
        (ground(process(EXITED, status=3)), False, "exited 3 while loading"),
        (ground(process(EXITED, status=0)), True, "exited 0 and is not started again"),
        (ground(process(EXITED, status=-1)), False, "killed by a signal while loading"),
        (ground(process(EXITED, status=-1)), True, "killed by a signal and is not started again"),
        (ground(process(FATAL, error="can't find command")), False, "could not be started: can't find command"),
        (ground(process(FATAL, status=4)), False, "exited 4 while loading"),
        (ground(process(EXITED, status=4, error="an old one")), False, "exited 4 while loading"),
        (ground(process(ended=True)), False, "killed by a signal while loading"),
        (ground(process(ended=True)), True, ""),
        (ground(), False, "not running"),
        (ground(found=[ORPHAN]), False, ""),
        (ground(found=[replace(ORPHAN, kind=Kind.PROXY)]), False, "not running"),
        (Ground(3, None, [ORPHAN]), True, ""),
        (Ground(3, None, []), True, "not running"),
        (ground(process(EXITED, status=3, pid=0), generation=4), False, "not running"),
        (ground(process(EXITED, status=3, pid=0), found=[ORPHAN], generation=4), False, ""),
    ],
    ids=[
        "it runs",
        "it left while loading",
        "it left after it had traffic",
        "a signal ended it while loading",
        "a signal ended it for good after it had traffic",
        "its program could not be started at all",
        "given up on without a reason is told by its exit code",
        "the reason of an earlier start does not count",
        "started again while loading: the kernel or a person killed it",
        "started again after it had traffic: that heals by itself",
        "supervisor does not know it and nothing lives",
        "supervisor does not know it and its process lives",
        "a proxy of that name is not its process",
        "no supervisord, and its process lives",
        "no supervisord, no process",
        "what an older supervisord said of it counts for nothing",
        "of an older supervisord, and its process lives",
    ],
)
def test_why_an_instance_is_not_coming_back(on, served, failure):
    """Empty while it may serve."""
    assert on.failure(replace(RECORD, served=served)) == failure


@pytest.mark.parametrize(
    ("on", "supervised", "pid"),
    [
        (ground(process()), True, 5),
        (ground(process(10)), True, 5),
        (ground(process(30, pid=0)), True, 0),
        (ground(process(0, pid=0)), False, 0),
        (ground(process(40)), False, 5),
        (ground(process(EXITED, pid=0)), False, 0),
        (ground(process(FATAL, pid=0)), False, 0),
        (ground(process(), generation=2), False, 5),
        (ground(process(pid=0), found=[ORPHAN]), True, 99),
        (Ground(3, None, [replace(ORPHAN, key="other-1"), ORPHAN]), False, 99),
        (Ground(3, None, [replace(ORPHAN, kind=Kind.SUPERVISOR)]), False, 0),
    ],
    ids=[
        "running",
        "starting",
        "between two starts",
        "stopped",
        "stopping",
        "ended",
        "given up on",
        "another generation owns it no more",
        "between two starts its old process may live",
        "an orphan is found by its id",
        "a supervisor is no instance",
    ],
)
def test_who_owns_an_instance_and_which_process_it_is(on, supervised, pid):
    """Only the present supervisord owns, and only what it keeps running."""
    assert (on.supervises(RECORD), on.pid(RECORD)) == (supervised, pid)


def routed(weights, members):
    return Table({"risk": Routed(weights, members, "/risk/", "r", 60.0)})


@pytest.mark.parametrize(
    ("table", "until", "role"),
    [
        (routed({"abc": 100}, {"abc": {RECORD.id: "/s/1"}}), 0.0, Role.ACTIVE),
        (routed({"abc": 1, "def": 99}, {"abc": {RECORD.id: "/s/1"}, "def": {"x": "/x"}}), 9.0, Role.ACTIVE),
        (routed({"abc": 0, "def": 100}, {"abc": {RECORD.id: "/s/1"}, "def": {"x": "/x"}}), 9.0, Role.WARM),
        (routed({"abc": 0, "def": 100}, {"abc": {RECORD.id: "/s/1"}, "def": {"x": "/x"}}), 0.0, Role.CANDIDATE),
        (routed({"abc": 100}, {"abc": {"another": "/s/2"}}), 0.0, Role.CANDIDATE),
        (Table(), 9.0, Role.WARM),
        (Table({"other": Routed({"abc": 100}, {"abc": {RECORD.id: "/s/1"}}, "/o/", "r", 1.0)}), 0.0, Role.CANDIDATE),
    ],
    ids=[
        "all traffic",
        "a hundredth of the traffic, whatever `until` says",
        "weight 0 and kept is warm",
        "weight 0 and not kept is a candidate",
        "its bundle has traffic, itself has none",
        "no routes at all",
        "another service's route is none of its own",
    ],
)
def test_the_role_of_an_instance(layout, table, until, role):
    """Traffic decides, then whether somebody keeps it."""
    assert instance(layout, replace(RECORD, until=until), ground(process()), table, Word()).role is role


def test_an_instance_is_shown_with_all_that_is_known(layout):
    """Record, process and its own word come together; the log is left away while nothing is wrong."""
    (layout.logs / f"{RECORD.id}.log").write_text("one\n")
    identity = Identity("risk", "abc", "i", RECORD.id, "python", "t", ())
    shown = instance(layout, replace(RECORD, until=7.0), ground(process()), Table(), Word(identity, ready=True))
    assert shown == Instance(
        RECORD.id, "risk", "abc", Role.WARM, ready=True, supervised=True, identity=identity, launch="hash", until=7.0, pid=5
    )


def test_a_failed_instance_is_never_ready_and_shows_its_last_lines(layout):
    """Also when something answers at its socket: the process that was meant is gone."""
    (layout.logs / f"{RECORD.id}.log").write_text("".join(f"line {n}\n" for n in range(50)))
    shown = instance(layout, RECORD, ground(process(EXITED, status=3)), Table(), Word(None, ready=True))
    assert (shown.ready, shown.failure) == (False, "exited 3 while loading")
    assert shown.log_tail == tuple(f"line {n}" for n in range(50 - TAIL_LINES, 50))


def talking(said, *, ready=200, status=200):
    answers = {"/ready": (ready, b"{}"), "/identity": (status, said)}
    return lambda method, path, body: answers[path]


def test_the_word_of_an_instance(layout):
    """Its identity with the models by name, and whether it is ready."""
    socket = layout.socket("i")
    with answering(socket, talking(json.dumps(SAID).encode())):
        word = listen_to(socket)
    models = (("a", "1", "sha256:1"), ("b", "2", "sha256:2"))
    assert word == Word(Identity(**{k: v for k, v in SAID.items() if k != "models"}, models=models), ready=True)


@pytest.mark.parametrize(
    ("said", "ready", "status"),
    [
        (b"", 200, 200),
        (b"\xff", 200, 200),
        (b"[]", 200, 200),
        (b'"service"', 200, 200),
        (b"{}", 200, 200),
        (json.dumps(SAID | {"models": None}).encode(), 200, 200),
        (json.dumps(SAID | {"models": [{"name": "a"}]}).encode(), 200, 200),
        (json.dumps(SAID | {"models": ["a"]}).encode(), 200, 200),
        (b"[" * 200_000, 200, 200),
        (json.dumps(SAID).encode(), 200, 404),
        (json.dumps(SAID).encode(), 200, 500),
    ],
    ids=[
        "nothing",
        "no text",
        "a list",
        "a word",
        "nothing in it",
        "no models",
        "a model without version",
        "models that are names",
        "nested without end",
        "an image that has no identity",
        "a fault",
    ],
)
def test_an_answer_that_is_no_identity_is_none(layout, said, ready, status):
    """Any image may answer; what it says wrong never breaks the look, and readiness counts for itself."""
    socket = layout.socket("i")
    with answering(socket, talking(said, ready=ready, status=status)):
        assert listen_to(socket) == Word(None, ready=True)


@pytest.mark.parametrize("ready", [503, 404, 204, 302])
def test_only_200_is_ready(layout, ready):
    """Anything else is not yet."""
    socket = layout.socket("i")
    with answering(socket, talking(json.dumps(SAID).encode(), ready=ready)):
        word = listen_to(socket)
    assert (word.ready, word.identity is None) == (False, False)


def test_nobody_at_the_socket_has_no_word(layout):
    """Neither identity nor readiness."""
    assert listen_to(layout.socket("none")) == Word()


@pytest.mark.parametrize(
    ("rotated", "present", "lines", "expected"),
    [
        (None, None, 5, []),
        (None, "a\nb\nc\n", 2, ["b", "c"]),
        ("a\nb\n", "c\n", 2, ["b", "c"]),
        ("a\nb\n", None, 5, ["a", "b"]),
        (None, "a\nb", 5, ["a", "b"]),
        (None, "a\n\nb\n", 5, ["a", "", "b"]),
        (None, "a\n", 0, []),
        (None, "a\n", -1, []),
    ],
    ids=[
        "it never wrote",
        "the last two, oldest first",
        "over the edge of a rotation",
        "just rotated",
        "the last line is not finished",
        "blank lines count",
        "none are wanted",
        "fewer than none are wanted",
    ],
)
def test_the_last_lines_of_a_log(layout, rotated, present, lines, expected):
    """Of the present file and the one before."""
    for ending, text in ((".log.1", rotated), (".log", present)):
        if text is not None:
            (layout.logs / f"x{ending}").write_text(text)
    assert list(tail(layout, "x", lines)) == expected


def test_a_log_of_bytes_that_are_no_text_is_read(layout):
    """What a crash wrote must not hide why."""
    (layout.logs / "x.log").write_bytes(b"\xff\xfe died\n")
    assert list(tail(layout, "x", 1)) == ["\ufffd\ufffd died"]


def test_a_log_that_cannot_be_read_is_named(layout):
    """With the file."""
    (layout.logs / "x.log").mkdir()
    with pytest.raises(Error, match=r"^the log cannot be read: Is a directory$") as caught:
        list(tail(layout, "x", 1))
    assert caught.value.where == str(layout.logs / "x.log")


@pytest.mark.parametrize(
    ("text", "socket"),
    [
        ('{"listen": "unix:/s/x"}', "/s/x"),
        ('{"listen": "127.0.0.1:1"}', "127.0.0.1:1"),
        ("{}", ""),
        ("[]", ""),
        ("{", ""),
        (None, ""),
    ],
    ids=["its socket", "an address", "without", "no object", "damaged", "no file"],
)
def test_where_a_stray_listens(layout, text, socket):
    """As its left configuration says; a damaged one only leaves its name unknown."""
    if text is not None:
        (layout.configs / "stray-1-1.json").write_text(text)
    assert stray_socket(layout, "stray-1-1") == socket
