"""Several services behind one listener: real git, ledger and cache, a real Envoy, real model servers; only MLflow is a fake."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import Held
from mlrelease.plan.root import root_notes
from support.fleet import MARK, FleetWorld, real_target, tiny_model
from support.local_target import Load

pytestmark = pytest.mark.xdist_group("services")

ONE_ROW = b'{"inputs": [[1.0]]}'
JSON = {"Content-Type": "application/json"}


@dataclass
class Listener:
    """The environment's one address."""

    port: int

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body or None, JSON)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        answer = response.status, headers, response.read()
        connection.close()
        return answer

    def service(self, prefix: str) -> str:
        status, _, body = self.ask("GET", f"{prefix}identity")
        return json.loads(body)["service"] if status == 200 else f"{status}"

    def version(self, service: str, model: str) -> str:
        status, headers, body = self.ask("POST", f"/{service}/models/{model}/invocations", ONE_ROW)
        assert status == 200, body
        return headers["x-model-version"]


class Predictions(Load):
    """A load of real predictions on one model, on a connection of its own for each client."""

    def _run(self):
        connection = None
        while not self._stop.is_set():
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                connection.request("POST", self.path, ONE_ROW, JSON)
                response = connection.getresponse()
                body = response.read()
                kept = self.answers if response.status == 200 else self.failures
                kept.append((response.status, response.getheader("x-model-version"), body[:200]))
                if response.getheader("connection") == "close":
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as e:
                self.failures.append((type(e).__name__, str(e)))
                connection = None
            self._stop.wait(self.pause_s)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files of a tiny model."""
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def root():
    """A folder with a path short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="sv-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def make(root, files):
    """Makes a world of these services, a real target under it, each with one replica."""
    with real_target(root) as (target, port):

        def world(*services: str, per_service: int = 1) -> tuple[FleetWorld, Listener]:
            made = FleetWorld(
                root / "w", services=services, per_service=per_service, files=files, replicas=1, target=target
            ).create()
            return made, Listener(port)

        yield world


def outcomes(result) -> dict[str, str]:
    return {name: receipt.outcome.value for name, receipt in result.receipts.items()}


def test_services_come_and_go_beside_each_other(make):
    """From one to three services and back to two under load: no request of the first is lost, and only `/` changes hands."""
    world, listener = make("a", "a-b", "c", per_service=2)
    first = world.run(only=frozenset({"a"}))
    assert outcomes(first) == {"a": "succeeded"}
    assert (listener.service("/"), listener.service("/a/")) == ("a", "a")

    with Predictions(listener.port, path="/a/models/a-0001/invocations", clients=2) as load:
        result = world.run()
        assert outcomes(result) == {"a-b": "succeeded", "c": "succeeded"}
        assert root_notes(result.plan, result.history) == (
            "/ no longer answers for a then: with 3 services each has its own prefix, /a/, /a-b/, /c/",
        )
        for service in ("a", "a-b", "c"):
            assert listener.service(f"/{service}/") == service
            assert b"model_info{" in listener.ask("GET", f"/{service}/metrics")[2]
            assert listener.version(service, f"{service}-0001") == "1"
        assert json.loads(listener.ask("GET", "/")[2])["services"] == {"a": "/a/", "a-b": "/a-b/", "c": "/c/"}
        status, _, body = listener.ask("POST", "/a-b/invocations", ONE_ROW)
        assert status == 400
        assert "/models/a-b-0000/invocations, /models/a-b-0001/invocations" in json.loads(body)["message"]

        world.move(["c-0000"], "2")
        revision = world.desired().revision
        assert outcomes(world.run()) == {"c": "succeeded"}
        said = {s: listener.ask("GET", f"/{s}/identity")[1]["x-revision"] for s in ("a", "c")}
        assert said["c"] == revision
        assert said["a"] == first.plan.revision

        path = world.service_file("c")
        path.write_text(path.read_text() + "\nstate: absent\n")
        for model in ("c-0000", "c-0001"):
            world.model_file(model).write_text(world.model_file(model).read_text() + "\nstate: absent\n")
        world.commit("Take c away")
        removed = world.run()
        assert (removed.receipts["c"].change, outcomes(removed)) == (ChangeKind.REMOVE, {"c": "succeeded"})
        assert listener.ask("GET", "/c/identity")[0] == 404
    assert load.failures == []
    assert len(load.answers) > 100
    assert {i.service for i in world.target.observe().instances} == {"a", "a-b"}


def test_one_bad_service_stops_no_other(make):
    """One does not load, one has tampered artifacts, one is held: the fourth moves, each has its line, the worst decides."""
    world, listener = make("broken", "fine", "held", "tampered")
    assert set(outcomes(world.run()).values()) == {"succeeded"}
    # The golden predictions of version 2 are known, so that it fails where the service would load it.
    code = next(path for path in world.files if world.files[path].find(MARK) >= 0)
    bad = {path: data.replace(MARK, b"9.9") for path, data in world.files.items()}
    bad[code] = bad[code] + b"\nraise RuntimeError('does not load here')\n"
    world.replace("broken-0000", "2", bad)
    world.move(["broken-0000", "fine-0000", "held-0000", "tampered-0000"], "2")
    world.registry.contents["tampered-0000", "2"] = {**world.registry.contents["tampered-0000", "2"], "extra": b"x"}
    world.site().ledger.append([Held(world.ids(), "production", world.clock, "ada", "quarter end", "held")])

    result = world.run()

    said = {name: (receipt.outcome, receipt.reason) for name, receipt in result.receipts.items()}
    assert said["fine"][0] is Outcome.SUCCEEDED
    assert said["broken"][0] is Outcome.ROLLED_BACK
    assert "does not load here" in said["broken"][1]
    assert said["tampered"][0] is Outcome.BLOCKED
    assert "digest" in said["tampered"][1]
    blocked = {change.service: change.blocked_by for change in result.plan.changes if change.blocked}
    assert blocked["held"] == "hold"
    assert exit_code(result) == 6
    versions = {name: listener.version(name, f"{name}-0000") for name in world.services}
    assert versions == {"broken": "1", "fine": "2", "held": "1", "tampered": "1"}
    assert sorted(i.service for i in world.target.observe().instances if i.role == "active") == sorted(world.services)


def interpreter(folder: Path, *, complete: bool) -> Path:
    """Another interpreter of this machine, with or without what a model server needs."""
    venv.create(folder, with_pip=False)
    if complete:
        site = next((folder / "lib").glob("python*/site-packages"))
        (site / "shared.pth").write_text("\n".join(path for path in sys.path if path and Path(path).is_dir()))
    return folder / "bin" / "python"


def test_a_service_runs_with_its_own_interpreter(make, root):
    """`runtime.python` restarts the service beside itself, proved and recorded; an interpreter without parts moves nothing."""
    world, listener = make("own", "plain")
    world.run()
    before = {i.service: i for i in world.target.observe().instances}
    good, bare = interpreter(root / "good", complete=True), interpreter(root / "bare", complete=False)

    with Predictions(listener.port, path="/own/models/own-0000/invocations", clients=2) as load:
        path = world.service_file("own")
        plain = path.read_text()
        path.write_text(f"{plain}runtime:\n  python: {good}\n")
        world.commit("Its own interpreter")
        result = world.run()
        assert outcomes(result) == {"own": "succeeded"}
        receipt = result.receipts["own"]
        assert (receipt.change, receipt.settings["python"]) == (ChangeKind.SETTINGS, str(good))
        assert receipt.before.id == receipt.after.id
        now = {i.service: i for i in world.target.observe().instances}
        assert psutil.Process(now["own"].pid).cmdline()[0] == str(good)
        assert now["plain"].pid == before["plain"].pid
        assert "mlflow" in now["own"].identity.runtime
        assert world.run().receipts == {}

        path.write_text(f"{plain}runtime:\n  python: {bare}\n")
        world.commit("An interpreter with nothing in it")
        failed = world.run().receipts["own"]
        assert failed.outcome is Outcome.ERRORED
        assert f"{bare} has no mlrelease.serving, mlflow" in failed.reason
        assert {i.service: i.pid for i in world.target.observe().instances}["own"] == now["own"].pid
    assert load.failures == []
    assert subprocess.run([bare, "-c", "pass"], check=False).returncode == 0
