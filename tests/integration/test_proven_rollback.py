"""The heart: deploys and rollbacks under load without a failed request, proved, and recorded with their seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest
from mlrelease.model.event import DeployFinished
from support.estate import Estate, free_port, until
from support.load import running_load

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("proven"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def estate(tmp_path_factory, mlflow_uri):
    """Version 1 deployed, bundles kept warm for ten minutes."""
    estate = Estate(tmp_path_factory.mktemp("p"), mlflow_uri).create(replicas=2)
    estate.cli("deploy", "production", cwd=estate.host)
    yield estate
    estate.down()


def test_three_deploys_and_three_rollbacks_lose_no_request(estate):
    """At 100 requests/s nothing fails; after a switch is declared done no request is answered by another version."""
    done: list[tuple[float, str]] = []
    with running_load(estate.url, rate=100) as load, estate.agent():
        until(lambda: load.newest_version() == "1", what="the first answers")
        began = time.monotonic()
        for _ in range(3):
            commit = estate.pin("2")
            moment = _declared(estate, "2")
            done.append((moment, "2"))
            until(lambda: load.newest_version() == "2", what="an answer of version 2")
            estate.revert(commit)
            moment = _declared(estate, "1")
            done.append((moment, "1"))
            until(lambda: load.newest_version() == "1", what="an answer of version 1")
            estate.forgive()
        lasted = time.monotonic() - began
    summary = load.summary()
    assert summary.sent > 90 * lasted
    assert summary.failed == 0, summary.failures[:3]
    ends = [moment for moment, _ in done[1:]] + [float("inf")]
    for (moment, version), end in zip(done, ends, strict=True):
        # until the next push nothing else may answer; the next version's first answers come before its own declaration
        answers = [a for a in summary.answers if moment < a.start < end]
        first_of_next = next((a.start for a in answers if a.version != version), float("inf"))
        assert first_of_next > moment
        stretch = [a.version for a in answers if a.start < first_of_next]
        assert set(stretch) <= {version}
        assert stretch, "requests were sent between this switch and the next"
    assert [span.version for span in summary.spans] == ["1", "2", "1", "2", "1", "2", "1"]


def test_the_ledger_keeps_goldens_and_manifests_by_digest(estate):
    """What `bump` learned of a version is stored once: its golden predictions, and every file with its digest."""
    ledger = estate.site().ledger
    for pin in estate.pins.values():
        golden, manifest = ledger.golden(pin.digest), ledger.manifest(pin.digest)
        assert len(golden["predictions"]) == 32, "forty rows of example are cut to thirty-two"
        assert manifest["digest"] == pin.digest
        assert "MLmodel" in [path for path, _, _ in manifest["files"]]


def test_the_receipt_of_a_rollback_proves_it(estate):
    """A revert is recorded as a rollback with identity, golden and proof probes passed, and what it left is rejected."""
    commit = estate.pin("2")
    estate.cli("deploy", "production", cwd=estate.host)
    estate.revert(commit)
    report = estate.json("deploy", "production", cwd=estate.host)
    receipt = report["services"]["wine"]
    assert (receipt["change"], receipt["outcome"], receipt["direction"]) == ("rollback", "succeeded", "back")
    assert {p["name"] for p in receipt["probes"] if p["status"] == "passed"} == {"identity", "golden:wine", "proof"}
    assert receipt["rejects"] == [["model:wine", estate.pins["2"].digest]]
    assert estate.live() == "1"
    blocked = estate.cli("bump", "production", "wine", "--to", "2", expect=5)
    assert "was rejected" in blocked.stdout
    estate.forgive()


def test_a_rejection_and_a_hold_are_a_persons_word(estate):
    """What was rolled back is blocked until somebody lifts it; a hold stops forward moves and lets rollbacks pass."""
    estate.pin("2")
    estate.cli("deploy", "production", cwd=estate.host)
    estate.cli("rollback", "production", "--to", "1", "--now")
    refused = estate.cli("bump", "production", "wine", "--to", "2", expect=5)
    assert "mlrelease unreject production wine 2" in refused.stdout
    estate.cli("unreject", "production", "wine", "2", expect=2)  # a reason is required
    estate.cli("unreject", "production", "wine", "2", "--reason", "the data was wrong, not the model")
    estate.cli("hold", "production", "--reason", "quarter end")
    estate.cli("bump", "production", "wine", "--to", "2", "--push")
    held = estate.json("deploy", "production", expect=5)
    assert held["changes"]["wine"]["blocked_by"] == "hold"
    assert estate.live() == "1"
    estate.cli("unhold", "production", "--reason", "over")
    estate.cli("deploy", "production")
    estate.cli("hold", "production", "--service", "wine", "--reason", "quarter end", "--hours", "1")
    estate.cli("rollback", "production", "--to", "1", "--now")
    assert estate.live() == "1"
    estate.cli("unhold", "production", "--service", "wine", "--reason", "over")
    estate.cli("unhold", "production", "--reason", "nothing is held", expect=1)
    estate.cli("unreject", "production", "wine", "2", "--reason", "next test")
    estate.cli("unreject", "production", "wine", "2", "--reason", "not rejected any more", expect=1)
    estate.cli("reject", "production", "wine", "2", "--reason", "biased")
    assert "biased" in estate.cli("bump", "production", "wine", "--to", "2", expect=5).stdout
    estate.cli("unreject", "production", "wine", "2", "--reason", "next test")


def test_rollback_now_commits_and_proves(estate):
    """`rollback --now` is one command: a forward commit, applied and proved, with the seconds; the clone follows."""
    estate.pin("2")
    estate.cli("deploy", "production", cwd=estate.host)
    done = estate.cli("rollback", "production", "--to", "1", "--now")
    assert "is proved after" in done.stdout
    assert estate.live() == "1"
    assert estate.git("status", "--porcelain") == ""
    assert "Roll back wine in production to wine 1" in estate.git("log", "-1", "--format=%s")
    estate.forgive()


def test_killed_instance_costs_no_request_and_comes_back(estate):
    """One of two instances killed by SIGKILL: every request is answered, and the instance is there again."""
    with running_load(estate.url, rate=50) as load:
        until(lambda: len(load.lines()) > 20, what="answers")
        victim = next(i for i in estate.state_of()["instances"] if i["role"] == "active")
        os.kill(victim["pid"], signal.SIGKILL)
        until(lambda: _ready(estate) == 2 and _pid(estate, victim["id"]) not in (0, victim["pid"]), what="two ready again")
    assert load.summary().failed == 0, load.summary().failures[:3]


def test_killed_supervisor_costs_no_request_and_heals(estate):
    """With supervisord gone what lives goes on serving; the next pass puts everything under a new one."""
    with running_load(estate.url, rate=50) as load:
        until(lambda: len(load.lines()) > 20, what="answers")
        supervisor = _processes(estate, "supervisor.supervisord")
        assert len(supervisor) == 1
        supervisor[0].kill()
        report = estate.json("deploy", "production", cwd=estate.host)
        assert report["services"]["wine"]["change"] == "repair"
        assert estate.state_of()["health"] == "Healthy"
    assert load.summary().failed == 0, load.summary().failures[:3]
    assert len(_processes(estate, "supervisor.supervisord")) == 1
    assert len(_processes(estate, "envoy")) == 1
    assert all(i["supervised"] for i in estate.state_of()["instances"])


def test_killed_proxy_comes_back_by_itself(estate):
    """Envoy killed alone is started again with the same routes, without a pass."""
    proxy = _processes(estate, "envoy")[0]
    proxy.kill()
    until(lambda: {p.pid for p in _processes(estate, "envoy")} - {proxy.pid}, what="a new proxy")
    until(lambda: _answers(estate) == "1", what="an answer through the new proxy")
    until(lambda: estate.state_of()["health"] == "Healthy", what="health")


def test_hand_edited_route_is_drift_and_is_mended(estate):
    """Somebody moves another file into Envoy's folder: status says Drifted, the next pass puts it right."""
    route = estate.state / "xds" / "rds.json"
    text = route.read_text()
    edited = text.replace('"version_info": "', '"version_info": "by-hand-', 1)
    assert edited != text
    staged = estate.state / "by-hand.json"
    staged.write_text(edited)
    staged.replace(route)
    until(lambda: estate.state_of()["sync"] == "Drifted", what="drift")
    report = estate.json("deploy", "production", cwd=estate.host)
    assert report["services"]["wine"]["change"] == "repair"
    assert estate.state_of()["sync"] == "InSync"


def test_stray_instance_is_found_and_ended(estate):
    """A server somebody started by hand under this state folder is a stray: it is ended by the next pass."""
    config = next((estate.state / "configs").glob("*.json"))
    stray = config.with_name("stray.json")
    stray.write_text(config.read_text().replace("/s/", "/s/x"))
    process = subprocess.Popen(
        [sys.executable, "-m", "mlrelease.serving", str(stray)], env=estate.environ(), stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: estate.state_of()["sync"] == "Drifted", what="drift")
        estate.cli("deploy", "production", cwd=estate.host)
        assert process.wait(20) is not None
        assert estate.state_of()["sync"] == "InSync"
    finally:
        process.kill()
        process.wait()
        stray.unlink(missing_ok=True)


def test_changed_setting_is_updated_in_place(estate):
    """Three replicas instead of two: the same bundle, one more instance, no request lost."""
    with running_load(estate.url, rate=30) as load:
        until(lambda: len(load.lines()) > 10, what="answers")
        commit = _edit_service(estate, "replicas: 2", "replicas: 3", "Scale wine")
        report = estate.json("deploy", "production", cwd=estate.host)
        receipt = report["services"]["wine"]
        assert (receipt["change"], receipt["outcome"]) == ("settings", "succeeded")
        assert receipt["before"]["id"] == receipt["after"]["id"]
        assert _ready(estate) == 3
        estate.revert(commit)
        estate.cli("deploy", "production", cwd=estate.host)
        assert _ready(estate) == 2
    assert load.summary().failed == 0, load.summary().failures[:3]


def test_changed_image_pin_is_another_bundle_and_its_revert_a_rollback(estate):
    """The image is part of what answers: an update to a new bundle, said to be exercised by the model alone, and back."""
    old = next(line.split()[1] for line in _service_file(estate).read_text().splitlines() if line.startswith("image:"))
    commit = _edit_service(estate, old, old.replace("0.1.0@sha256:33", "0.2.0@sha256:44"), "New image")
    update = estate.json("deploy", "production", cwd=estate.host)["services"]["wine"]
    assert (update["change"], update["outcome"], update["exercised"]) == ("update", "succeeded", ["model"])
    assert update["before"]["id"] != update["after"]["id"]
    estate.revert(commit)
    back = estate.json("deploy", "production", cwd=estate.host)["services"]["wine"]
    assert (back["change"], back["outcome"]) == ("rollback", "succeeded")
    assert [key for key, _ in back["rejects"]] == ["image"]
    assert back["after"]["id"] == update["before"]["id"]


def test_removed_service_is_gone_and_its_revert_brings_it_back(estate):
    """`state: absent` takes the route and the instances away; the revert is proved like any rollback."""
    text = _service_file(estate).read_text()
    commit = _edit_service(estate, text, f"{text}\nstate: absent\n", "Remove wine")
    removed = estate.json("deploy", "production", cwd=estate.host)["services"]["wine"]
    assert (removed["change"], removed["outcome"]) == ("remove", "succeeded")
    assert _answers(estate) == ""
    estate.revert(commit)
    back = estate.json("deploy", "production", cwd=estate.host)["services"]["wine"]
    assert (back["change"], back["outcome"]) == ("rollback", "succeeded")
    assert estate.live() == "1"


@pytest.mark.parametrize("source", ["the registry", "MODEL_PATH"])
def test_serve_verb_answers_and_ends_cleanly(estate, source):
    """`mlrelease serve` loads what git pins, or a mounted folder (B2); SIGTERM ends it with 0."""
    port = free_port()
    command = [sys.executable, "-m", "mlrelease.cli", "serve", "--listen", f"127.0.0.1:{port}"]
    environment = estate.environ()
    if source == "MODEL_PATH":
        environment["MODEL_PATH"] = str(estate.site().cache.get(estate.pins["1"].digest))
    else:
        command += ["production", "wine"]
    process = subprocess.Popen(command, cwd=estate.laptop, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: process.poll() is not None or _status(f"http://127.0.0.1:{port}/ready") == 200, seconds=60, what="ready")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/identity", timeout=5) as answer:
            assert json.load(answer)["models"][0]["digest"] == estate.pins["1"].digest
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def test_two_passes_at_once_never_both_write(estate):
    """Two deploys started together: both end well, and the ledger shows the Change once."""
    estate.pin("2")
    before = len([e for e in _events(estate) if isinstance(e, DeployFinished)])
    other = estate.root / "other"
    estate.git("clone", "--quiet", "o.git", "other", cwd=estate.root)
    passes = [
        subprocess.Popen(
            [sys.executable, "-m", "mlrelease.cli", "deploy", "production"],
            cwd=clone,
            env=estate.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for clone in (estate.host, other)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in passes]
    assert [process.returncode for process in passes] == [0, 0], outputs
    finished = [e for e in _events(estate) if isinstance(e, DeployFinished)][before:]
    assert [r.outcome.value for e in finished for r in e.services.values()] == ["succeeded"]
    assert estate.live() == "2"
    estate.cli("rollback", "production", "--to", "1", "--now")
    estate.forgive()


def test_paused_holder_that_wakes_after_its_expiry_cannot_act(estate):
    """A pass stopped by SIGSTOP loses its lock when it expires; awake again it is fenced and writes nothing."""
    estate.pin("2")
    holder = subprocess.Popen(
        [sys.executable, "-c", _PAUSED, str(estate.host)],
        env=estate.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until(lambda: _stopped(holder.pid), seconds=60, what="the holder paused")
        # its lock was taken for two seconds (the script's own deadline): it is over
        time.sleep(2.1)
        done = estate.cli("deploy", "production", "--lock-timeout", "30", cwd=estate.host)
        assert "update: succeeded" in done.stdout
        height = len(_events(estate))
        holder.send_signal(signal.SIGCONT)
        output = holder.communicate(timeout=60)[0]
        assert "Fenced" in output, output
        assert len(_events(estate)) == height, "the woken holder wrote nothing"
        assert estate.live() == "2"
    finally:
        if holder.poll() is None:
            holder.send_signal(signal.SIGCONT)
            holder.kill()
            holder.wait()
    estate.cli("rollback", "production", "--to", "1", "--now")
    estate.forgive()


_PAUSED = """
import os, signal, sys
from types import MappingProxyType
from mlrelease import deadlines
from mlrelease.delivery import lock
lock.DEADLINES_S = MappingProxyType({**deadlines.DEADLINES_S, "pass": 2.0})
from mlrelease.commands.workspace import new_ulid, open_workspace
from mlrelease.delivery.passes import Order, run_pass
workspace = open_workspace(sys.argv[1], run_id="paused")
desired = workspace.desired()
def listener(mark):
    if mark.name == "golden":
        os.kill(os.getpid(), signal.SIGSTOP)
try:
    run_pass(workspace.site(desired.spec.environments["production"]), desired,
             Order(actor="Test", trigger="deploy", run_id="paused", new_id=new_ulid, listener=listener))
except Exception as error:
    print(type(error).__name__, error)
"""


def _declared(estate, version: str) -> float:
    """The moment at which the agent recorded that `version` serves."""

    def finished() -> float:
        for event in reversed(_events(estate)):
            if isinstance(event, DeployFinished):
                receipt = event.services["wine"]
                pinned = receipt.after.versions()["wine"] if receipt.after else ""
                return event.at if receipt.outcome.value == "succeeded" and pinned == version else 0.0
        return 0.0

    return until(finished, seconds=60, what=f"the receipt for version {version}")


def _events(estate):
    return estate.site().ledger.read("production").events


def _ready(estate) -> int:
    return sum(i["ready"] and i["role"] == "active" for i in estate.state_of()["instances"])


def _pid(estate, name: str) -> int:
    return next((i["pid"] for i in estate.state_of()["instances"] if i["id"] == name), 0)


def _answers(estate) -> str:
    try:
        return estate.live()
    except OSError:
        return ""


def _processes(estate, name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if any(str(estate.state) in word for word in words) and any(os.path.basename(word) == name for word in words[:3]):
            found.append(process)
    return found


def _service_file(estate):
    return estate.laptop / "environments/production/services/wine.yaml"


def _edit_service(estate, old: str, new: str, message: str) -> str:
    path = _service_file(estate)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return estate.commit(message)


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status
    except OSError as error:
        return getattr(error, "code", 0)


def _stopped(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False
