"""The target without its processes: what fits whom, who is refused before an effect, and requests past the proxy."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlrelease.errors import Error
from mlrelease.ledger.fence import Fence
from mlrelease.model.live import Identity
from mlrelease.targets.interface import Fenced
from mlrelease.targets.local import target as module
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.look import Word
from mlrelease.targets.local.state import Record, Routed, Table, read_records, write_record, write_tables
from mlrelease.targets.local.target import LocalTarget
from support.local_target import free_port, launch
from support.unix_http import answering, short_folder


def record(id_, bundle="b1", service="risk", **more):
    return Record(id_, service, bundle, f"/s/{id_}", f"/c/{id_}", "hash", 1, 1.0, **more)


RECORDS = {r.id: r for r in (record("i1"), record("i2"), record("j1", "b2"), record("x1", service="fraud"))}


# ---- who gets which traffic


@pytest.mark.parametrize(
    ("weights", "ids", "members"),
    [
        ({}, [], {}),
        ({}, ["i1", "nobody"], {}),
        ({"b1": 100}, ["i1", "i2"], {"b1": {"i1": "/s/i1", "i2": "/s/i2"}}),
        ({"b1": 90, "b2": 10}, ["j1", "i2"], {"b1": {"i2": "/s/i2"}, "b2": {"j1": "/s/j1"}}),
        ({"b1": 100, "b2": 0}, ["i1"], {"b1": {"i1": "/s/i1"}, "b2": {}}),
    ],
    ids=[
        "no weights take the route away",
        "and then nobody is asked who they are",
        "all instances of one bundle",
        "each under its own bundle",
        "a bundle without traffic needs no instance",
    ],
)
def test_instances_are_put_behind_their_bundles(weights, ids, members):
    """Each with its socket."""
    assert module._members("risk", weights, ids, RECORDS) == members


@pytest.mark.parametrize(
    ("weights", "ids", "message"),
    [
        ({"b1": 100}, ["gone"], "gone is no instance of risk for any of the bundles to route to"),
        ({"b1": 100}, ["i1", "x1"], "x1 is no instance of risk for any of the bundles to route to"),
        ({"b1": 100}, ["i1", "j1"], "j1 is no instance of risk for any of the bundles to route to"),
        ({"b1": 0, "b2": 0}, ["i1"], "all weights of risk are 0"),
        ({"b1": 100}, [], "bundle b1 of risk would have traffic and no instance"),
        ({"b1": 99, "b2": 1}, ["i1"], "bundle b2 of risk would have traffic and no instance"),
    ],
    ids=[
        "an instance that is unknown",
        "one of another service",
        "one of another bundle",
        "nobody would get traffic",
        "traffic for nobody",
        "a little traffic for nobody",
    ],
)
def test_a_route_that_would_lose_requests_is_refused(weights, ids, message):
    """Before anything is written; it can only be a mistake of ours."""
    with pytest.raises(Error) as caught:
        module._members("risk", weights, ids, RECORDS)
    assert (caught.value.message, caught.value.hint) == (message, "please report this")


def test_the_sockets_of_instances_are_those_in_the_routes():
    """Of any service and bundle; who is not routed has none."""
    table = Table({
        "risk": Routed({"b1": 100, "b2": 0}, {"b1": {"i1": "/1", "i2": "/2"}, "b2": {"j1": "/3"}}, "/risk/", "r", 1.0),
        "fraud": Routed({"b3": 100}, {"b3": {"x1": "/4"}}, "/fraud/", "r", 1.0),
    })  # fmt: skip
    assert module._sockets(table, ["x1", "i2", "j1", "gone"]) == ["/2", "/3", "/4"]
    assert module._sockets(table, []) == module._sockets(Table(), ["i1"]) == []


def _identity(bundle):
    models = tuple((m.name, m.version, m.digest) for m in bundle.models)
    return Identity(bundle.service, bundle.id, bundle.image.reference, "i", "python", "t", models)


@pytest.mark.parametrize(
    ("word", "served", "turned"),
    [
        (lambda b: Word(), False, False),
        (lambda b: Word(), True, True),
        (lambda b: Word(_identity(b)), True, False),
        (lambda b: Word(_identity(b), ready=True), False, False),
        (lambda b: Word(replace(_identity(b), bundle="another")), False, True),
        (lambda b: Word(replace(_identity(b), models=())), False, True),
    ],
    ids=[
        "silent while loading",
        "silent after it served",
        "not ready, and still itself",
        "ready and itself",
        "it says another bundle",
        "it says other models",
    ],
)
def test_an_instance_that_is_not_what_it_was_started_as_does_not_fit(word, served, turned):
    """Its own word counts before any file."""
    bundle = launch().bundle
    assert module._has_turned(record("i1", served=served), word(bundle), bundle) is turned


# ---- the fence


@pytest.fixture
def folder():
    with short_folder() as folder:
        yield folder


@pytest.fixture
def layout(folder):
    layout = Layout(folder)
    layout.make()
    return layout


@pytest.fixture
def target(folder, layout):
    return LocalTarget("test", f"127.0.0.1:{free_port()}", folder)


EFFECTS = {
    "start": lambda t: t.start(launch()),
    "route": lambda t: t.route("risk", {}, instances=[], prefix="/risk/", revision="r", timeout_s=1.0),
    "keep": lambda t: t.keep(["i1"], 5.0),
    "stop": lambda t: t.stop("i1", drain_s=0),
}


@pytest.mark.parametrize("effect", EFFECTS.values(), ids=EFFECTS)
def test_no_effect_without_a_claim(target, layout, effect):
    """A pass that forgot to prepare the target has no number to be refused by."""
    write_record(layout, record("i1"))
    with pytest.raises(Error, match=r"^the target was not prepared$") as caught:
        effect(target)
    assert caught.value.hint == "please report this"
    assert read_records(layout) == {"i1": record("i1")}


@pytest.mark.parametrize("effect", EFFECTS.values(), ids=EFFECTS)
def test_no_effect_after_a_newer_claim(target, layout, folder, effect):
    """Refused before the first write."""
    write_record(layout, record("i1"))
    target._number = 3
    Fence(folder).claim(4)
    with pytest.raises(Fenced):
        effect(target)
    assert read_records(layout) == {"i1": record("i1")}
    assert not layout.routes.exists()


def test_a_target_that_does_not_exist_goes_down_without_a_trace(folder):
    """Nothing is made to be ended."""
    LocalTarget("test", "127.0.0.1:1", folder / "never").down()
    assert list(folder.iterdir()) == []


def test_a_bad_address_is_said_before_a_folder_is_made(folder):
    """And before the target is claimed."""
    with pytest.raises(Error, match=r"^target\.listen is not host:port: 8080$"):
        LocalTarget("test", "8080", folder / "state").prepare(1)
    assert list(folder.iterdir()) == []


def test_a_start_without_a_supervisor_starts_nothing(target, layout, folder):
    """It ended since the target was prepared: an error, and no record of an instance that nobody will start."""
    target._number = 1
    with pytest.raises(Error, match=r"^the supervisor is not running$") as caught:
        target.start(launch())
    assert (caught.value.hint, caught.value.where) == ("the next pass starts it again", str(folder))
    assert read_records(layout) == {}


# ---- records


def test_instances_are_kept_until_then_and_taken_up_again(target, layout):
    """Only those that are named and known; the rest of the record stays; the same again writes nothing."""
    target._number = 1
    for one in RECORDS.values():
        write_record(layout, one)
    target.keep(["i1", "gone", "j1"], 50.0)
    assert {k: r.until for k, r in read_records(layout).items()} == {"i1": 50.0, "i2": 0.0, "j1": 50.0, "x1": 0.0}
    before = (layout.instances / "i1.json").stat().st_ino
    target.keep(["i1"], 50.0)
    assert (layout.instances / "i1.json").stat().st_ino == before
    target.keep(["i1", "j1"], 0)
    assert read_records(layout) == RECORDS


def test_stopping_an_instance_leaves_its_log_alone(target, layout):
    """Nothing runs: its files go, its log stays, other records too; a second time is fine."""
    target._number = 1
    write_record(layout, record("i1"))
    write_record(layout, record("i2"))
    for path in (layout.configs / "i1.json", layout.configs / "i1.run", layout.logs / "i1.log"):
        path.write_text("{}")
    for _ in range(2):
        target.stop("i1", drain_s=5.0)
        assert list(read_records(layout)) == ["i2"]
        assert list(layout.configs.iterdir()) == []
        assert list(target.logs("i1", lines=3)) == ["{}"]


# ---- requests


def test_an_instance_is_asked_at_its_recorded_socket(target, layout):
    """Or at the one that a left configuration names; who is neither is no instance."""

    def handle(method, path, body):
        return 201, f"{method} {path} {body.decode()}".encode()

    socket = layout.socket("one")
    write_record(layout, replace(record("i1"), socket=socket))
    layout.write_json(layout.configs / "stray-1-1.json", {"listen": f"unix:{socket}"})
    with answering(socket, handle):
        answers = [target.ask(i, "POST", "/x", b"y", timeout_s=5) for i in ("i1", "stray-1-1")]
    assert [(a.status, a.body) for a in answers] == [(201, b"POST /x y")] * 2
    with pytest.raises(FileNotFoundError, match=r"^no instance nobody$"):
        target.ask("nobody", "GET", "/", timeout_s=5)


@pytest.fixture
def listener():
    """A listener that says what was asked of it, or what a path of its own asks for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/risk/broken":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
                return
            if self.path == "/risk/nonsense":
                self.wfile.write(b"nonsense\r\n\r\n")
                return
            said = {"path": self.path, "probe": self.headers.get("x-probe"), "connection": self.headers.get("connection")}
            data = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("X-Revision", "r")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("/risk/", "/risk/identity"), ("/models/risk/", "/models/risk/identity"), ("/", "/identity"), (None, "/risk/identity")],
    ids=["its prefix", "a longer prefix", "the root", "not routed yet"],
)
def test_a_service_is_asked_below_its_prefix(folder, layout, listener, prefix, expected):
    """As a client would, on a connection of its own."""
    if prefix:
        write_tables(layout, Table({"risk": Routed({"b": 100}, {"b": {"i": "/s"}}, prefix, "r", 1.0)}))
    target = LocalTarget("test", f"0.0.0.0:{listener}", folder)
    answer = target.ask_service("risk", "GET", "/identity", timeout_s=5, headers={"X-Probe": "1"})
    assert json.loads(answer.body) == {"path": expected, "probe": "1", "connection": "close"}
    assert (answer.status, answer.headers["x-revision"]) == (200, "r")


@pytest.mark.parametrize("path", ["/broken", "/nonsense"])
def test_a_service_that_answers_half_is_an_os_error(folder, listener, path):
    """Callers are ready for nothing else."""
    target = LocalTarget("test", f"127.0.0.1:{listener}", folder)
    with pytest.raises(ConnectionError):
        target.ask_service("risk", "GET", path, timeout_s=5)


def test_nobody_at_the_listener_is_an_os_error(target):
    """The proxy is not there."""
    with pytest.raises(ConnectionRefusedError):
        target.ask_service("risk", "GET", "/identity", timeout_s=5)
