"""The target `local` after the world broke: kills, edits by hand, strays, a port that is taken, a newer pass."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest
from mlrelease.errors import Error
from mlrelease.model.live import Role
from mlrelease.targets.interface import Fenced
from mlrelease.targets.local.files import Layout
from support.local_target import SERVER, Load, end_all, free_port, launch, living, ready, route, serve, target_at, wait_for


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


def kill(folder, *words):
    """SIGKILL to every process of the folder with one of these words on its command line."""
    hit = living(folder, *words)
    for process in hit:
        process.kill()
    for process in hit:
        wait_for(lambda p=process: not p.is_running() or p.status() == psutil.STATUS_ZOMBIE, what="killed")
    assert hit
    return [p.pid for p in hit]


def test_one_of_two_instances_killed_costs_no_request(target, port):
    """Its requests are answered by the other, and supervisor starts it again."""
    serve(target, launch(replicas=2, env=(("STAND_IN_SLOW_S", "0.02"),)))
    with Load(port, clients=8) as load:
        for _ in range(3):
            victim = target.observe().instances[0]
            os.kill(victim.pid, signal.SIGKILL)
            wait_for(
                lambda v=victim: [i for i in target.observe().instances if i.id == v.id and i.ready and i.pid != v.pid],
                what="started again",
            )
            load.more()
    assert load.failures == []
    assert target.observe().problems == ()


def test_a_killed_supervisor_costs_no_request_and_is_healed(target, folder, port):
    """What lives keeps its traffic; a new generation takes over proxy and instances; the orphans are ended."""
    wanted = launch(replicas=2)
    old = serve(target, wanted)
    proxies = {p.pid for p in living(folder) if "envoy" in p.name()}
    with Load(port) as load:
        kill(folder, "supervisord")
        seen = target.observe()
        assert seen.problems == ("supervisor: not running",)
        assert [(i.ready, i.supervised, i.role) for i in seen.instances] == [(True, False, Role.ACTIVE)] * 2
        load.more()

        healer = target_at(folder, port)
        healer.prepare(2)
        assert healer.observe().problems == ()
        new = healer.start(wanted)
        assert not {i.id for i in new} & {i.id for i in old}
        ready(healer, [i.id for i in new])
        route(healer, wanted, new)
        for orphan in old:
            healer.stop(orphan.id, drain_s=5)
        load.more()
    assert load.failures == []
    seen = healer.observe()
    assert (seen.problems, [(i.id, i.supervised) for i in seen.instances]) == (
        (),
        [(i.id, True) for i in sorted(new, key=lambda i: i.id)],
    )
    assert not proxies & {p.pid for p in living(folder)}, "the orphaned proxy was ended"
    assert len(living(folder)) == 4


def test_a_killed_proxy_comes_back_with_its_routes(target, folder, port):
    """Supervisor restarts Envoy from the same files; nothing else has to be done."""
    serve(target, launch())
    (pid,) = kill(folder, "envoy-")
    wait_for(lambda: not target.observe().problems, what="proxy back")
    assert target.ask_service("risk", "GET", "/identity", timeout_s=5).status == 200
    assert pid not in {p.pid for p in living(folder)}


def test_a_proxy_that_is_gone_is_named(target, folder):
    """Without supervisor nobody restarts Envoy: both are named, and the route is still known from the files."""
    wanted = launch()
    serve(target, wanted)
    kill(folder, "supervisord", "envoy-")
    seen = target.observe()
    assert set(seen.problems) == {"supervisor: not running", "proxy: not running"}
    assert dict(seen.routes["risk"].weights) == {wanted.bundle.id: 100}


def test_after_a_reboot_everything_is_started_anew(target, folder, port):
    """Nothing lives, sockets and pids are stale: the next pass serves again and forgets the dead."""
    wanted = launch(replicas=2)
    old = serve(target, wanted)
    kill(folder, str(folder))
    seen = target.observe()
    assert [(i.ready, i.failure) for i in seen.instances] == [(False, "not running")] * 2
    after = target_at(folder, port)
    after.prepare(2)
    new = serve(after, wanted)
    for dead in old:
        after.stop(dead.id, drain_s=1)
    seen = after.observe()
    assert (seen.problems, {i.id for i in seen.instances}) == ((), {i.id for i in new})
    assert after.ask_service("risk", "GET", "/identity", timeout_s=5).status == 200


@pytest.mark.parametrize("moved", [False, True], ids=["edited in place", "moved into place"])
def test_a_route_edited_by_hand_is_seen_and_mended(target, folder, port, moved):
    """Whether Envoy noticed or not, the file is not what was recorded; `route` writes it again."""
    wanted = launch()
    instances = serve(target, wanted, revision="good")
    rds = folder / "xds" / "rds.json"
    edited = rds.read_text().replace('"good"', '"hand"')
    if moved:
        (folder / "edited").write_text(edited)
        (folder / "edited").replace(rds)
        wait_for(lambda: target.ask_service("risk", "GET", "/identity", timeout_s=5).headers["x-revision"] == "hand")
    else:
        rds.write_text(edited)
    assert target.observe().problems == ("route: edited by hand",)
    route(target, wanted, instances, revision="good")
    assert target.observe().problems == ()
    assert target.ask_service("risk", "GET", "/identity", timeout_s=5).headers["x-revision"] == "good"


@pytest.mark.parametrize("name", ["cds", "lds", "rds"])
def test_an_emptied_file_is_seen_and_mended_by_prepare(target, folder, port, name):
    """Envoy keeps the old configuration; the next pass writes the file again, and no request is lost."""
    serve(target, launch())
    with Load(port) as load:
        (folder / "empty").write_text("")
        (folder / "empty").replace(folder / "xds" / f"{name}.json")
        assert target.observe().problems == ("route: edited by hand",)
        target.prepare(2)
        load.more()
    assert load.failures == []
    assert target.observe().problems == ()


@pytest.mark.parametrize("name", ["routes.json", "proxy.json", "supervisor.json", "salt"])
def test_a_state_file_that_was_removed_costs_no_request(target, folder, port, name):
    """What runs goes on; the next pass ends with everything recorded, supervised and routed again, and nothing else."""
    before = serve(target, launch(version="1"))
    wanted = launch(version="2")
    with Load(port) as load:
        (folder / name).unlink()
        target.prepare(2)
        after = target.start(wanted)
        ready(target, [i.id for i in after])
        route(target, wanted, after, revision="again")
        for old in (i for i in before if i.id not in {a.id for a in after}):
            target.stop(old.id, drain_s=5)
        load.more()
    seen = target.observe()
    assert load.failures == []
    assert (seen.problems, [(i.id, i.supervised, i.role) for i in seen.instances]) == ((), [(after[0].id, True, Role.ACTIVE)])
    assert seen.routes["risk"].revision == "again"
    assert len(living(folder)) == 3


def test_down_ends_a_supervisor_that_hangs(target, folder, monkeypatch):
    """A paused supervisord does not keep anything alive."""
    serve(target, launch())
    (hung,) = living(folder, "supervisor.supervisord")
    hung.suspend()
    call = target._supervisor._call
    monkeypatch.setattr(target._supervisor, "_call", lambda *a, **k: call(*a, **(k | {"timeout_s": 0.3})))
    assert any(p.startswith("supervisor: supervisord does not answer") for p in target.observe().problems)
    target.down()
    assert living(folder) == []


def test_a_stray_is_found_and_stopped(target, folder):
    """A server process below the state folder without a record is a stray with a name, whoever started it."""
    (known,) = target.start(launch())
    ready(target, [known.id])
    config = json.loads((folder / "configs" / f"{known.id}.json").read_text())
    config |= {"instance": "stray", "listen": f"unix:{folder}/s/stray"}
    (folder / "configs" / "stray.json").write_text(json.dumps(config))
    process = subprocess.Popen([*SERVER, str(folder / "configs" / "stray.json")], stdout=subprocess.DEVNULL)
    try:
        stray = wait_for(lambda: [i for i in target.observe().instances if i.role is Role.STRAY and i.ready])[0]
        assert (stray.id, stray.service, stray.pid, stray.supervised) == ("stray", "risk", process.pid, False)
        target.stop("stray", drain_s=1)
        assert process.wait(5) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(5)
    assert [i.id for i in target.observe().instances] == [known.id]


def test_a_port_of_somebody_else_is_named_with_its_process(folder):
    """The error says host, port and pid, and no proxy is started beside it, though the kernel would let it."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        target = target_at(folder, port)
        with pytest.raises(Error, match=rf"127\.0\.0\.1:{port} cannot be used: taken by process {os.getpid()}"):
            target.prepare(1)
        assert not [p for p in living(folder) if "envoy" in p.name()]
    target.prepare(1)
    serve(target, launch())


def test_two_targets_do_not_share_a_port(target, folder, port):
    """The second environment on one port is refused and the first goes on alone."""
    serve(target, launch())
    with pytest.raises(Error, match=f"127.0.0.1:{port} cannot be used: taken by process"):
        target_at(folder.parent / "other", port).prepare(1)
    assert target.observe().problems == ()


def test_a_fenced_writer_is_refused_before_every_effect(target, folder, port):
    """After a newer pass has claimed the target, the older one changes nothing."""
    wanted = launch()
    (one,) = serve(target, wanted)
    target_at(folder, port).prepare(7)
    before = target.observe()
    for effect in (
        lambda: target.prepare(1),
        lambda: target.start(launch(version="2")),
        lambda: route(target, wanted, [one], revision="late"),
        lambda: target.keep([one.id], 1.0),
        lambda: target.stop(one.id, drain_s=1),
        target.down,
    ):
        with pytest.raises(Fenced):
            effect()
    assert target.observe() == before


def test_a_state_folder_too_long_for_sockets_is_named(folder, port):
    """The error names the folder and the setting, before anything is started."""
    long = folder / ("x" * 90)
    with pytest.raises(Error, match="too long for unix sockets") as caught:
        target_at(long, port).prepare(1)
    assert caught.value.where == str(long.resolve())
    assert "state_dir" in caught.value.hint
    assert living(folder.parent) == []


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, nothing is tidied up."""


def test_a_pass_killed_at_any_write_of_a_switch_leaves_the_truth_and_heals(target, folder, port, monkeypatch):
    """After each kill `observe` names the bundle that answers; the next pass converges; no request is lost."""
    one, two = launch(version="1"), launch(version="2")
    mine = {one.bundle.id: serve(target, one), two.bundle.id: target.start(two)}
    ready(target, [i.id for i in mine[two.bundle.id]])
    write = Layout.write
    killed = 0
    with Load(port) as load:
        for n in range(1, 20):
            now = next(iter(target.observe().routes["risk"].weights))
            wanted = two if now == one.bundle.id else one
            left = [n]

            def dying(self, path, data, left=left):
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
                write(self, path, data)

            monkeypatch.setattr(Layout, "write", dying)
            with contextlib.suppress(Killed):
                route(target, wanted, mine[wanted.bundle.id])
            monkeypatch.setattr(Layout, "write", write)
            said = wait_for(lambda: target.ask_service("risk", "POST", "/invocations", b"{}", timeout_s=5))
            assert list(target.observe().routes["risk"].weights) == [json.loads(said.body)["bundle"]]
            healer = target_at(folder, port)
            healer.prepare(1 + n)
            assert healer.observe().problems == ()
            target.prepare(1 + n)
            if left[0] > 0:
                break
            killed += 1
    assert load.failures == []
    assert killed >= 5, "every write of the switch was the last one once"


def test_a_pass_killed_at_any_write_of_a_start_leaves_nothing_unknown(target, folder, port, monkeypatch):
    """Whatever was left half made, the next start ends with as many ready instances as wanted and nothing else."""
    write = Layout.write
    for n in range(1, 20):
        left = [n]

        def dying(self, path, data, left=left):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            write(self, path, data)

        wanted = launch(version=str(n), replicas=2)
        monkeypatch.setattr(Layout, "write", dying)
        with contextlib.suppress(Killed):
            target.start(wanted)
        monkeypatch.setattr(Layout, "write", write)
        again = target.start(wanted)
        ready(target, [i.id for i in again])
        seen = target.observe()
        assert {i.id for i in seen.instances} == {i.id for i in again}
        assert len(again) == 2
        for instance in again:
            target.stop(instance.id, drain_s=1)
        if left[0] > 0:
            break
    assert n >= 8


def test_an_instance_that_hangs_is_not_taken_for_one_that_fits(target, folder):
    """It served, and now says nothing: another is started in its place, and the one that answers is kept."""
    wanted = launch(replicas=2)
    serve(target, wanted)
    hung, well = sorted(target.observe().instances, key=lambda i: i.id)
    os.kill(hung.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: not next(i for i in target.observe().instances if i.id == hung.id).ready, what="seen to hang")
        fitting = {i.id for i in target.start(wanted)}
    finally:
        os.kill(hung.pid, signal.SIGCONT)
    assert well.id in fitting
    assert hung.id not in fitting
    assert len(fitting) == 2
