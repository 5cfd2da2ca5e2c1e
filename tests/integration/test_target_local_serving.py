"""The target `local` with the reference server itself: it starts, answers, is switched and outlives its supervisor."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import psutil
import pytest
from mlrelease.model.bundle import Bundle, ImagePin, ModelPin
from mlrelease.model.live import Artifact, Launch
from mlrelease.registries.digest import digest_of, manifest
from mlrelease.targets.local.target import SERVER
from support.local_target import end_all, free_port, living, route, target_at, wait_for
from support.served import ROWS, save_sklearn

IMAGE = ImagePin("example/serve:1@sha256:" + "0" * 64)
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def folder():
    """A state folder with a path short enough for sockets; nothing of it lives on afterwards."""
    base = Path(tempfile.mkdtemp(prefix="mr-"))
    yield base / "state"
    end_all(base)
    shutil.rmtree(base)


def real_launch(path: Path) -> Launch:
    digest = digest_of(manifest(path))
    bundle = Bundle("risk", IMAGE, (ModelPin("model", "1", digest),))
    return Launch(bundle, (Artifact("model", "1", digest, path),), replicas=1)


def test_the_reference_server_is_served_and_outlives_its_supervisor(folder, tmp_path):
    """It predicts through the proxy with all its headers, also after supervisord and its log pipe are gone, and then stops."""
    target = target_at(folder, free_port(), server=SERVER)
    target.prepare(1)
    wanted = real_launch(save_sklearn(tmp_path / "model"))
    (one,) = target.start(wanted)
    wait_for(lambda: target.observe().instances[0].ready, 60, "ready")
    route(target, wanted, [one], revision="r1")

    def predict():
        return target.ask_service("risk", "POST", "/invocations", json.dumps(ROWS).encode(), timeout_s=10, headers=JSON)

    before = predict()
    assert (before.status, json.loads(before.body)["predictions"]) == (200, pytest.approx([21.0, 43.0]))
    assert {"x-revision": "r1", "x-bundle": wanted.bundle.id, "x-model-version": "1"}.items() <= dict(before.headers).items()

    (supervisord,) = living(folder, "supervisor.supervisord")
    supervisord.kill()
    wait_for(lambda: "supervisor: not running" in target.observe().problems)
    after = [predict() for _ in range(5)]
    assert [a.status for a in after] == [200] * 5
    assert psutil.pid_exists(one.pid)

    target.prepare(2)
    target.down()
    assert living(folder) == []


def test_a_tampered_artifact_ends_the_reference_server_for_good(folder, tmp_path):
    """Its exit code is final: the failure is told with the server's own line, and it is not started again."""
    path = save_sklearn(tmp_path / "model")
    wanted = real_launch(path)
    (path / "MLmodel").write_text((path / "MLmodel").read_text() + "\n# changed\n")
    target = target_at(folder, free_port(), server=SERVER)
    target.prepare(1)
    target.start(wanted)
    seen = wait_for(lambda: [i for i in target.observe().instances if i.failure], 60, "failure")[0]
    assert seen.failure == "exited 3 while loading"
    assert any("the files are not those of the pin" in line for line in seen.log_tail)
