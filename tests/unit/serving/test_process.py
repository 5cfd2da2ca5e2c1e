"""How the server loads and ends: in this process, over a real socket, and its clock of two phases."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
import structlog
import uvicorn
from mlrelease import log
from mlrelease.model.bundle import Digest
from mlrelease.model.live import Artifact
from mlrelease.registries.digest import digest_of, manifest
from mlrelease.serving.config import ServeConfig
from mlrelease.serving.loading import ExitCode, LoadFailed, load_all
from mlrelease.serving.process import _Server, run
from mlrelease.serving.server import _listening
from mlrelease.serving.state import ServerState
from mlrelease.serving.uds import ask
from support.local_target import wait_for
from support.unix_http import short_folder

pytestmark = pytest.mark.xdist_group("scoring")

NOTHING = Digest("sha256:" + "0" * 64)
ROWS = {"dataframe_records": [{"x": 1.0}, {"x": 2.0}]}


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    """What loading sets for the process ends with the test."""
    for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_CONFIGURE_LOGGING"):
        monkeypatch.setenv(name, "false")


@pytest.fixture
def lines():
    """What is logged meanwhile."""
    before = structlog.get_config()
    stream = io.StringIO()
    log.configure(level=20, json=True, stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.configure(**before)


def save(folder, body):
    """A model of plain Python, as MLflow loads any: the module `body` in `code/`, no class of MLflow's."""
    name = f"model_{folder.name}_{id(folder):x}"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / f"{name}.py").write_text(body)
    (folder / "MLmodel").write_text(f"flavors:\n  python_function:\n    loader_module: {name}\n    code: code\n")
    return folder


DOUBLING = """
import pathlib
def _load_pyfunc(path):
    return Model()
class Model:
    def predict(self, data):
        return [2 * x for x in data["x"].tolist()]
"""
TRACE = "import pathlib\npathlib.Path({trace!r}).touch()\n" + DOUBLING


@pytest.fixture(scope="module")
def doubling(tmp_path_factory):
    path = sys.path[:]
    yield save(tmp_path_factory.mktemp("models") / "doubling", DOUBLING)
    sys.path[:] = path


def pinned(path, name="risk", version="7", **more):
    return Artifact(name, version, digest_of(manifest(path)), path, **more)


def golden(*predictions):
    return {"payload": ROWS, "predictions": list(predictions)}


def failed(*models):
    with pytest.raises(LoadFailed) as caught:
        load_all(models, lambda _: None)
    return caught.value.code, str(caught.value)


# ---- loading


def test_models_are_hashed_all_and_then_loaded_one_by_one(doubling, lines):
    """What is done is said before it is done; each model is told when it is ready."""
    said = []
    models = (pinned(doubling, "a", "1"), pinned(doubling, "b", "2", golden=golden(2.0, 4.0)))
    scorers = load_all(iter(models), said.append)
    assert said == [
        "hashing a 1", "hashing b 2", "loading a 1", "loading b 2", "trying the golden predictions of b 2",
    ]  # fmt: skip
    assert {name: scorer.predict(ROWS) for name, scorer in scorers.items()} == {"a": [2.0, 4.0], "b": [2.0, 4.0]}
    ready = [line for line in lines() if line["event"] == "model ready"]
    assert [(r["model"], r["version"], r["golden"]) for r in ready] == [("a", "1", "none"), ("b", "2", "as expected")]


def test_nothing_is_loaded_when_any_file_is_another(doubling, tmp_path):
    """The digests of all come first: no code of the good model has run."""
    trace = tmp_path / "trace"
    good = save(tmp_path / "good", TRACE.format(trace=str(trace)))
    wrong = Artifact("b", "2", NOTHING, doubling)
    code, text = failed(pinned(good, "a", "1"), wrong)
    found = digest_of(manifest(doubling))
    assert (code, text) == (
        ExitCode.DIGEST,
        f"b 2: the files are not those of the pin: expected {NOTHING}, found {found}; nothing was loaded",
    )
    assert not trace.exists()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise RuntimeError('no weights\\nmore')", "RuntimeError: no weights"),
        ("raise SystemExit", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ValueError('x' * 1000)", "ValueError: " + "x" * 300),
    ],
    ids=["it raises", "it leaves", "it interrupts", "it talks too much"],
)
def test_a_model_that_cannot_be_loaded_is_told_in_one_line(tmp_path, lines, body, reason):
    """Whatever its code raises ends the loading, and is in the log with its traceback."""
    code, text = failed(pinned(save(tmp_path / "bad", body)))
    assert (code, text) == (ExitCode.LOAD, f"risk 7 cannot be loaded: {reason}")
    (line,) = [line for line in lines() if line["event"] == "the model cannot be loaded"]
    assert "Traceback" in line["exception"]


def test_a_folder_that_is_gone_cannot_be_loaded(tmp_path):
    """As a model that cannot be, not as another one: there is nothing to compare."""
    code, text = failed(Artifact("risk", "7", NOTHING, tmp_path / "gone"))
    assert code == ExitCode.LOAD
    assert text.startswith("risk 7: ")


@pytest.mark.parametrize(
    ("expected", "rtol", "wrong"),
    [
        (golden(2.0, 4.1), 1e-6, "row 1: expected 4.1, got 4"),
        (golden(2.0), 1e-6, "expected 1 rows, got 2"),
        (golden(2.0, 4.1), 0.05, ""),
        ({"payload": {"inputs": []}, "predictions": []}, 1e-6, "inputs holds no rows"),
        ({"payload": {"colour": 1}, "predictions": []}, 1e-6, "the body must hold exactly one of"),
    ],
    ids=["another value", "another number of rows", "within its own tolerance", "no rows", "no request"],
)
def test_a_model_that_does_not_repeat_itself_is_not_served(doubling, expected, rtol, wrong):
    """What it predicted in isolation is what it has to predict here."""
    one = pinned(doubling, golden=expected, golden_rtol=rtol)
    if not wrong:
        assert load_all([one], lambda _: None)
        return
    code, text = failed(one)
    assert code == ExitCode.GOLDEN
    assert text.startswith(f"risk 7 does not predict what it predicted in isolation: {wrong}")


# ---- the whole server, in a thread


def config(*models, **more):
    values = {"service": "credit", "bundle": "b", "image": "i", "instance": "i-1", "runtime": "r", "listen": "unix:/s"}
    return ServeConfig(models=models, **values | more)


class Running:
    """The server of one state in a thread of this process."""

    def __init__(self, state, place):
        self.state = state
        self.place = str(place)
        self.code = None
        self.listens = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        with _listening(f"unix:{self.place}") as listener:
            self.listens.set()
            self.code = run(self.state, listener)

    def ask(self, method, path, body=b""):
        return ask(self.place, method, path, body, {"Content-Type": "application/json"}, timeout_s=20)


@pytest.fixture
def start():
    """Starts a server; whatever still runs is drained at the end."""
    with short_folder() as folder:
        started = []

        def begin(*models, **more):
            running = Running(ServerState(config(*models, **more), time.time()), folder / "s")
            started.append(running)
            running.thread.start()
            wait_for(lambda: running.listens.is_set() or not running.thread.is_alive())
            return running

        yield begin
        for running in started:
            running.state.draining = True
            running.thread.join(20)
            assert not running.thread.is_alive()


def test_it_serves_until_it_is_told_to_stop(start, doubling, lines):
    """Ready with its models, predicts, and ends with 0; its socket is gone then."""
    running = start(pinned(doubling, golden=golden(2.0, 4.0)))
    wait_for(lambda: running.ask("GET", "/ready").status == 200, 30)
    answer = running.ask("POST", "/invocations", json.dumps(ROWS).encode())
    assert (answer.status, json.loads(answer.body)) == (200, {"predictions": [2.0, 4.0]})
    assert "server" not in answer.headers
    running.state.draining = True
    running.thread.join(20)
    assert (running.code, Path(running.place).exists()) == (0, False)
    events = [line["event"] for line in lines()]
    assert events[-1] == "stopped"
    assert events.index("model ready") < events.index("ready")


@pytest.mark.parametrize(
    ("kind", "code"), [("other files", 3), ("no files", 4), ("other predictions", 5)], ids=["digest", "load", "golden"]
)
def test_it_ends_with_a_code_when_it_cannot_serve(start, doubling, lines, tmp_path, kind, code):
    """Each kind of failure has its own, and one line says why."""
    models = {
        "other files": Artifact("risk", "7", NOTHING, doubling),
        "no files": Artifact("risk", "7", NOTHING, tmp_path / "gone"),
        "other predictions": pinned(doubling, golden=golden(9.0, 9.0)),
    }
    running = start(models[kind])
    running.thread.join(30)
    assert running.code == code
    (line,) = [line for line in lines() if line["event"] == "not serving"]
    assert (line["code"], line["level"]) == (code, "error")
    assert line["reason"].startswith("risk 7")
    assert running.state.reason == "loading failed"


def test_loading_that_breaks_off_is_an_error_of_its_own(start, doubling, lines):
    """No failure that is known: code 1, and the traceback in the log."""
    running = start(pinned(doubling, golden={"payload": ROWS}))
    running.thread.join(30)
    assert running.code == 1
    (line,) = [line for line in lines() if line["event"].startswith("not serving")]
    assert line["event"] == "not serving: loading broke off"
    assert "KeyError: 'predictions'" in line["exception"]


# ---- the two phases of stopping


@pytest.fixture
def server():
    """A server that does not run; its clock is turned by hand."""
    one = _Server(uvicorn.Config(lambda *_: None, lifespan="off"), ServerState(config(drain_s=10.0), 0.0))
    one.limit_max_requests = None
    return one


def tick(server):
    return asyncio.run(server.on_tick(1))


def test_without_a_signal_it_goes_on(server):
    """Tick after tick."""
    assert [tick(server) for _ in range(3)] == [False] * 3


def test_a_drain_with_nothing_in_flight_ends_at_once(server):
    """With the whole of its time left for what comes in meanwhile."""
    server.handle_exit(signal.SIGTERM, None)
    assert tick(server)
    assert server.config.timeout_graceful_shutdown == pytest.approx(10.0, abs=1.0)


@pytest.mark.parametrize(("drain_s", "lame_s"), [(10.0, 2.0), (1.0, 0.5), (0.0, 0.0)], ids=["long", "short", "none"])
def test_the_listener_stays_open_for_what_is_in_flight(server, drain_s, lame_s):
    """At most two seconds, or half of a short drain; what is left of the drain is left for the requests."""
    server._state.config = config(drain_s=drain_s)
    server._state.in_flight = 1
    server.handle_exit(signal.SIGTERM, None)
    now = time.monotonic()
    if lame_s == 2.0:
        assert not tick(server), "the first of its two seconds"
    server._draining_since = now - lame_s
    assert tick(server)
    assert max(0.1, drain_s - lame_s - 5) <= server.config.timeout_graceful_shutdown <= max(0.1, drain_s - lame_s)


def test_a_second_signal_skips_the_open_phase(server):
    """What is in flight still has its time."""
    server._state.in_flight = 1
    server.handle_exit(signal.SIGTERM, None)
    assert (server.should_exit, server.force_exit) == (False, False)
    server.handle_exit(signal.SIGTERM, None)
    assert (server.should_exit, server.force_exit) == (True, False)
    assert tick(server)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_interrupt_waits_for_nothing(server, first):
    """A person who presses twice means it; the first does not."""
    server.handle_exit(first, None)
    assert not server.force_exit
    server.handle_exit(signal.SIGINT, None)
    assert (server.should_exit, server.force_exit) == (True, True)


def test_a_failure_does_not_wait_for_keep_alive_connections(server):
    """A second, so that the code comes soon: nothing was ever served."""
    server.should_exit = True
    assert tick(server)
    assert server.config.timeout_graceful_shutdown == 1


def test_a_listener_that_is_handed_over_is_the_one_that_answers(doubling, lines):
    """Who connects before the loop is there waits instead of being refused."""
    state = ServerState(config(pinned(doubling)), time.time())
    with short_folder() as folder, _listening(f"unix:{folder / 's'}") as listener, socket.socket(socket.AF_UNIX) as early:
        early.settimeout(20)
        early.connect(str(folder / "s"))
        early.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        thread = threading.Thread(target=run, args=(state, listener), daemon=True)
        thread.start()
        assert early.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        state.draining = True
        thread.join(20)
    assert not thread.is_alive()
