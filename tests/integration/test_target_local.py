"""The target `local` as it works: a real supervisord, a real Envoy, stand-in model servers."""

from __future__ import annotations

import http.client
import json
import shutil
import stat
import tempfile
import time
from pathlib import Path

import pytest
from mlrelease.errors import Error
from mlrelease.model.live import Role
from support.local_target import Load, end_all, free_port, launch, living, ready, route, serve, target_at, wait_for


@pytest.fixture
def folder():
    """A state folder with a path short enough for sockets; nothing of it lives on afterwards."""
    base = Path(tempfile.mkdtemp(prefix="mr-"))
    yield base / "state"
    end_all(base)
    shutil.rmtree(base)


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def target(folder, port):
    target = target_at(folder, port)
    target.prepare(1)
    return target


def get(port, path, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, body


def test_a_served_bundle_is_observed_with_identity_role_and_route(target):
    """What was started and routed is seen ready, supervised and active, and nothing is wrong."""
    wanted = launch(replicas=2)
    serve(target, wanted, revision="r1")
    seen = target.observe()
    assert seen.problems == ()
    assert [(i.role, i.ready, i.supervised, i.identity.bundle) for i in seen.instances] == [
        (Role.ACTIVE, True, True, wanted.bundle.id)
    ] * 2
    assert dict(seen.routes["risk"].weights) == {wanted.bundle.id: 100}
    assert (seen.routes["risk"].prefix, seen.routes["risk"].revision) == ("/risk/", "r1")


def test_an_environment_that_was_never_deployed_has_nothing_and_no_problem(folder, port):
    """Observing makes no folder and finds nothing wrong."""
    seen = target_at(folder, port).observe()
    assert (seen.instances, dict(seen.routes), seen.problems) == ((), {}, ())
    assert not folder.exists()


def test_one_service_answers_at_its_prefix_and_at_the_root(target, port):
    """The only service answers at `/` too; every answer names the revision, and a request id is kept or made."""
    serve(target, launch(), revision="50%")
    for path in ("/risk/identity", "/identity"):
        status, headers, body = get(port, path, {"x-request-id": "mine"})
        assert (status, headers["x-revision"], headers["x-request-id"]) == (200, "50%", "mine")
        assert json.loads(body)["service"] == "risk"
    assert len(get(port, "/identity")[1]["x-request-id"]) > 10


def test_several_services_answer_at_their_prefixes_only(target, port):
    """The root lists them, an unknown path is a JSON 404, and one leaves without touching the other."""
    serve(target, launch("risk"), revision="a")
    serve(target, launch("risk-eu"), revision="b")
    assert json.loads(get(port, "/risk-eu/identity")[2])["service"] == "risk-eu"
    assert get(port, "/risk/identity")[1]["x-revision"] == "a"
    status, headers, body = get(port, "/")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body)["services"] == {"risk": "/risk/", "risk-eu": "/risk-eu/"}
    status, headers, body = get(port, "/other")
    assert (status, headers["content-type"], json.loads(body)["error_code"]) == (404, "application/json", "NOT_FOUND")

    target.route("risk", {}, instances=(), prefix="/risk/", revision="c", timeout_s=0.0)
    assert set(target.observe().routes) == {"risk-eu"}
    assert json.loads(get(port, "/identity")[2])["service"] == "risk-eu"


def test_a_switch_loses_no_request_and_leaves_no_late_answer(target, port):
    """Under load, six switches to and fro: every answer is 200 and none that began after a switch is from before it."""
    one, two = launch(version="1", replicas=2), launch(version="2")
    serve(target, one)
    new = target.start(two)
    ready(target, [i.id for i in new])
    old = target.start(one)
    with Load(port) as load:
        for turn in range(6):
            wanted, instances = ((two, new), (one, old))[turn % 2]
            route(target, wanted, instances, revision=str(turn))
            switched = time.monotonic()
            load.more(20 + load.clients)
            since = [a for a in load.answers if a[0] > switched]
            assert since
            assert [a for a in since if a[1] != wanted.bundle.id or a[3] != str(turn)] == []
    assert load.failures == []


def test_requests_in_flight_at_a_switch_are_finished(target, port):
    """With predictions of one second, switching and stopping the old instance cuts none of them."""
    slow = (("STAND_IN_SLOW_S", "1.0"),)
    one, two = launch(version="1", env=slow), launch(version="2", env=slow)
    (old,) = serve(target, one)
    new = target.start(two)
    ready(target, [i.id for i in new])
    with Load(port, clients=8) as load:
        assert not target.idle([old.id])
        route(target, two, new)
        assert not target.idle([old.id]), "the old instance still works on what it had"
        target.stop(old.id, drain_s=5)
        load.more(20)
    assert load.failures == []
    assert {a[1] for a in load.answers} == {one.bundle.id, two.bundle.id}
    assert [i.id for i in target.observe().instances] == [i.id for i in new]


def test_an_instance_is_ended_only_after_its_requests(target, port):
    """A server that cuts everything on SIGTERM loses nothing: by then the proxy has its answers."""
    rude = (("STAND_IN_SLOW_S", "0.2"), ("STAND_IN_ABRUPT", "1"))
    one, two = launch(version="1", env=rude), launch(version="2", env=rude)
    (old,) = serve(target, one)
    new = target.start(two)
    ready(target, [i.id for i in new])
    access = Path(target._layout.logs / "access.log")
    with Load(port, clients=8) as load:
        route(target, two, new)
        target.stop(old.id, drain_s=5)
        load.more(10)
    target.down()
    attempts = [json.loads(line)["attempts"] for line in access.read_text().splitlines() if '"code":200' in line]
    assert load.failures == []
    assert set(attempts) == {1}, "not one had to be asked again"


def test_changed_settings_are_taken_over_by_new_instances(target, port):
    """Same bundle, other environment: what runs is left alone, new ones take the traffic, no request is lost."""
    (old,) = serve(target, launch())
    changed = launch(env=(("MODE", "b"),))
    with Load(port) as load:
        (new,) = target.start(changed)
        assert new.id != old.id
        ready(target, [new.id])
        route(target, changed, [new])
        target.stop(old.id, drain_s=5)
        load.more()
    assert load.failures == []
    assert json.loads(target.ask(new.id, "GET", "/environment", timeout_s=5).body)["MODE"] == "b"


def test_starting_again_adopts_what_fits(target):
    """The same launch twice is the same instances; fewer replicas are fewer of them, those with traffic first."""
    first = serve(target, launch(replicas=2))
    assert {i.id for i in target.start(launch(replicas=2))} == {i.id for i in first}
    more = target.start(launch(replicas=3))
    assert len(more) == 3
    assert {i.id for i in target.start(launch(replicas=2))} == {i.id for i in first}


def test_a_warm_instance_is_kept_and_taken_up_again(target):
    """`keep` marks it until then, `start` adopts it, and 0 marks it as in use."""
    serve(target, launch(version="1"))
    (warm,) = target.start(launch(version="2"))
    target.keep([warm.id, "gone"], 12345.0)
    seen = {i.id: i for i in target.observe().instances}[warm.id]
    assert (seen.role, seen.until) == (Role.WARM, 12345.0)
    assert [i.id for i in target.start(launch(version="2"))] == [warm.id]
    target.keep([warm.id], 0.0)
    assert {i.id: i for i in target.observe().instances}[warm.id].role is Role.CANDIDATE


def test_the_environment_of_a_service_stays_private(target, folder, port, monkeypatch):
    """The instance has it, together with an allow-list and nothing else; no file that others may read and no log does."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "of-the-agent")
    secret = "50% \"quoted\" ;\n'line'"
    (one,) = serve(target, launch(env=(("API_KEY", secret),)))
    given = json.loads(target.ask(one.id, "GET", "/environment", timeout_s=5).body)
    assert given["API_KEY"] == secret
    assert given["OMP_NUM_THREADS"] == "1"
    assert "MLFLOW_TRACKING_TOKEN" not in given
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in (p for p in folder.rglob("*") if p.is_file()):
        if "quoted" in path.read_text(errors="replace"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert path.suffix == ".run"


def test_a_process_that_exits_while_loading_is_a_failure_with_its_last_words(target):
    """It is not started again; the exit code and the log are there, and the next start replaces it."""
    broken = launch(env=(("STAND_IN_EXIT", "4"),))
    (failed,) = target.start(broken)
    seen = wait_for(lambda: [i for i in target.observe().instances if i.failure], what="failure")[0]
    assert (seen.id, seen.failure, seen.ready) == (failed.id, "exited 4 while loading", False)
    assert seen.log_tail[-1] == "cannot load the model"
    assert list(target.logs(failed.id, lines=1)) == ["cannot load the model"]
    (again,) = target.start(broken)
    assert again.id != failed.id
    assert failed.id not in {i.id for i in target.observe().instances}


def test_traffic_goes_only_to_what_is_healthy_and_else_stays(target, port):
    """An instance that never becomes ready gets no route: the old one goes on, and the error says so."""
    (old,) = serve(target, launch(version="1"), revision="r1")
    sick = launch(version="2", env=(("STAND_IN_NOT_READY", "1"),))
    instances = target.start(sick)
    target._proxy.patience_s = 0.5
    with Load(port) as load, pytest.raises(Error, match="1 of 1 instances are not healthy"):
        route(target, sick, instances)
    seen = target.observe()
    assert load.failures == []
    assert (seen.problems, dict(seen.routes["risk"].weights)) == ((), {old.bundle: 100})


def test_a_route_that_the_proxy_refuses_is_put_back(target, port):
    """Envoy refuses a header with a line break: the old route serves on, confirmed, and the error says who refused."""
    one, two = launch(version="1"), launch(version="2")
    serve(target, one, revision="good")
    new = target.start(two)
    ready(target, [i.id for i in new])
    with Load(port) as load:
        with pytest.raises(Error, match="refused its routes"):
            route(target, two, new, revision="bad\nvalue")
        load.more()
    seen = target.observe()
    assert load.failures == []
    assert {a[1] for a in load.answers} == {one.bundle.id}
    assert (seen.problems, seen.routes["risk"].revision) == ((), "good")
    route(target, two, new, revision="better")
    assert dict(target.observe().routes["risk"].weights) == {two.bundle.id: 100}


def test_the_last_instance_with_traffic_is_not_stopped(target, port):
    """Stopping it is refused and it serves on; the second last may go."""
    first, last = serve(target, launch(replicas=2))
    with Load(port) as load:
        target.stop(first.id, drain_s=5)
        with pytest.raises(Error, match="last instance of risk"):
            target.stop(last.id, drain_s=5)
        load.more()
    assert load.failures == []
    assert {a[2] for a in load.answers[-20:]} == {last.id}


def test_stopping_what_is_gone_is_fine(target, folder):
    """`stop` is idempotent and leaves no file of the instance but its log."""
    (one,) = target.start(launch())
    target.stop(one.id, drain_s=1)
    target.stop(one.id, drain_s=1)
    assert target.observe().instances == ()
    left = [p for p in folder.rglob(f"{one.id}*") if p.parent != folder / "logs"]
    assert left == []
    assert len(list((folder / "s").iterdir())) == 2, "only those of supervisor and proxy"


def test_down_leaves_no_process_and_keeps_logs(target, folder, port):
    """Proxy, instances, supervisor and strays end; records go; logs stay; it may be said twice and deployed again."""
    (one,) = serve(target, launch())
    (folder / "instances" / f"{one.id}.json").unlink()
    target_at(folder, port).down()
    assert living(folder) == []
    assert list((folder / "instances").iterdir()) == []
    assert (folder / "logs" / f"{one.id}.log").exists()
    seen = target_at(folder, port).observe()
    assert (seen.instances, seen.problems) == ((), ())
    target_at(folder, port).down()
    target.prepare(2)
    serve(target, launch())
    assert target.ask_service("risk", "GET", "/identity", timeout_s=5).status == 200


def test_another_listen_address_is_taken_over_in_place(target, folder, port):
    """A changed `target.listen` moves the listener without another Envoy."""
    serve(target, launch())
    pids = {p.pid for p in living(folder)}
    moved = target_at(folder, free_port())
    moved.prepare(2)
    assert moved.ask_service("risk", "GET", "/identity", timeout_s=5).status == 200
    assert moved.observe().problems == ()
    assert {p.pid for p in living(folder)} == pids
