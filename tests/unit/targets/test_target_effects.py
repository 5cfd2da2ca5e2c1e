"""What the target does to its parts, in which order: fakes stand in for supervisord and Envoy, files and sockets are real."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest
from mlrelease.errors import Error
from mlrelease.ledger.fence import Fence
from mlrelease.model.live import Role
from mlrelease.targets.interface import Fenced
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.instances import SERVER, Instances
from mlrelease.targets.local.proxy import Proxy
from mlrelease.targets.local.state import read_records, write_record
from mlrelease.targets.local.supervisor import EXITED, RUNNING, Process
from mlrelease.targets.local.target import LocalTarget
from support.fake_envoy import FakeSupervisor
from support.local_target import free_port, launch, wait_for
from support.unix_http import answering, short_folder


class Keeping(FakeSupervisor):
    """Keeps instances too: a name in a list is all that one is."""

    def __init__(self, layout):
        super().__init__(layout)
        self.instances = {}
        self.starts = 1

    def ensure(self):
        self.starts, started = 0, self.starts
        self.folder()
        return bool(started)

    def add(self, programs):
        for program in programs:
            if program.name.startswith("envoy."):
                super().add([program])
            else:
                pid = 4_100_000 + len(self.instances)  # above the highest pid of Linux
                self.instances[program.name] = Process(program.name, RUNNING, pid, 0, ended_before=False, spawn_error="")

    def processes(self, **_):
        return super().processes() | self.instances

    def stop(self, name):
        super().stop(name)
        if name in self.instances:
            self.set(name, state=EXITED, pid=0)

    def discard(self, name):
        super().discard(name)
        self.instances.pop(name, None)

    def shut_down(self):
        self.told.append(("shut down", ""))

    def set(self, name, **changes):
        self.instances[name] = replace(self.instances[name], **changes)


class World:
    """A prepared target; its clock counts calls."""

    def __init__(self, folder, stack):
        self.layout = Layout(folder)
        self.layout.make()
        self.stack = stack
        self.supervisor = Keeping(self.layout)
        self.clock = iter(range(1, 1000))
        self.target = self.another()
        self.target.prepare(1)

    def another(self, number=None):
        """What a later pass would work with."""
        listen = f"127.0.0.1:{free_port()}" if not hasattr(self, "target") else self.target._listen
        target = LocalTarget("test", listen, self.layout.root)
        target._supervisor = self.supervisor
        target._proxy = Proxy(self.layout, listen, self.supervisor)
        target._proxy.patience_s = 0.2
        target._instances = Instances(self.layout, self.supervisor, SERVER, lambda: float(next(self.clock)), "run")
        target._number = number
        return target

    @property
    def envoy(self):
        (envoy,) = self.supervisor.running.values()
        return envoy

    @property
    def records(self):
        return read_records(self.layout)

    def start(self, wanted):
        return [i.id for i in self.target.start(wanted)]

    def route(self, wanted, ids, weights=None):
        weights = weights or {wanted.bundle.id: 100}
        self.target.route("risk", weights, instances=ids, prefix="/risk/", revision="r", timeout_s=5.0)

    def answers(self, id_, bundle):
        """From now on the instance says that it is ready, and this bundle."""
        models = [{"name": m.name, "version": m.version, "digest": m.digest} for m in bundle.models]
        said = {
            "service": bundle.service, "bundle": bundle.id, "image": bundle.image.reference, "instance": id_,
            "runtime": "python", "started_at": "t", "models": models,
        }  # fmt: skip
        data = json.dumps(said).encode()
        self.stack.enter_context(answering(self.records[id_].socket, lambda *_: (200, data)))

    def told(self):
        """What supervisor was told since the last question, of instances."""
        told, self.supervisor.told[:] = list(self.supervisor.told), []
        return [(what, name) for what, name in told if not name.startswith("envoy.")]


@pytest.fixture
def world():
    with short_folder() as folder, ExitStack() as stack:
        world = World(folder, stack)
        yield world
        world.supervisor.close()


ONE, TWO = launch(version="1"), launch(version="2")


# ---- prepare


def test_a_new_supervisor_leaves_no_folder_of_an_older_one(world):
    """One that was running keeps what is there: an older Envoy may still read from it."""
    (world.layout.generations / "7").mkdir()
    world.another().prepare(2)
    assert (world.layout.generations / "7").exists()
    world.supervisor.starts = 1
    world.another().prepare(3)
    assert [f.name for f in world.layout.generations.iterdir()] == ["1"]


def test_preparing_claims_the_target_before_anything_else(world):
    """An older pass is refused, and nothing was started for it."""
    Fence(world.layout.root).claim(5)
    before = len(world.supervisor.programs)
    with pytest.raises(Fenced):
        world.another().prepare(4)
    assert len(world.supervisor.programs) == before


# ---- start


def test_starting_again_adopts_what_fits(world):
    """Fewer replicas are the oldest ones, more are these and new ones; their records are not written anew."""
    two = world.start(replace(ONE, replicas=2))
    assert world.start(replace(ONE, replicas=2)) == two
    assert world.start(replace(ONE, replicas=1)) == two[:1]
    three = world.start(replace(ONE, replicas=3))
    assert three[:2] == two
    assert set(three) == world.records.keys()
    assert world.told() == []


def test_instances_with_traffic_are_adopted_first(world):
    """Stopping the others costs nobody anything."""
    first, second = world.start(replace(ONE, replicas=2))
    world.answers(second, ONE.bundle)
    world.route(ONE, [second])
    assert world.start(replace(ONE, replicas=2)) == [second, first]
    assert [i.role for i in world.target.start(replace(ONE, replicas=2))] == [Role.ACTIVE, Role.CANDIDATE]


@pytest.mark.parametrize(
    "change",
    [lambda w: replace(w, env=(("A", "1"),)), lambda w: replace(w, python="/opt/python"), lambda w: TWO],
    ids=["another variable", "another interpreter", "another bundle"],
)
def test_what_runs_with_other_settings_is_left_alone(world, change):
    """The caller stops it once the new one is ready."""
    (old,) = world.start(ONE)
    (new,) = world.start(change(ONE))
    assert new != old
    assert set(world.records) == set(world.supervisor.instances) == {old, new}
    assert world.told() == []


def test_an_instance_that_ended_is_buried_and_replaced(world):
    """With its files; its log stays for reading."""
    (old,) = world.start(ONE)
    (world.layout.logs / f"{old}.log").write_text("why\n")
    world.supervisor.set(old, state=EXITED, exit_status=3, pid=0)
    (new,) = world.start(ONE)
    assert set(world.records) == set(world.supervisor.instances) == {new} != {old}
    assert world.told() == [("stop", old), ("discard", old)]
    assert (list(world.target.logs(old, lines=5)), (world.layout.configs / f"{old}.json").exists()) == (["why"], False)


def test_an_instance_that_ended_under_traffic_is_replaced_and_not_forgotten(world):
    """Its route still names it: it leaves with the route."""
    (old,) = world.start(ONE)
    world.route(ONE, [old])
    world.supervisor.set(old, state=EXITED, exit_status=3, pid=0)
    (new,) = world.start(ONE)
    assert set(world.records) == {old, new}


def test_an_orphan_that_lives_is_neither_adopted_nor_buried(world):
    """An older supervisord owns it: the caller stops it later."""
    (old,) = world.start(ONE)
    write_record(world.layout, replace(world.records[old], generation=99))
    (new,) = world.start(ONE)
    assert set(world.records) == {old, new}
    assert world.told() == []


def test_one_that_says_another_bundle_is_not_adopted(world):
    """Nor one that served and is silent; one that never served may still be loading."""
    (wrong,) = world.start(ONE)
    world.answers(wrong, TWO.bundle)
    (silent,) = world.start(ONE)
    assert world.start(ONE) == [silent]
    write_record(world.layout, replace(world.records[silent], served=True))
    (third,) = world.start(ONE)
    assert set(world.records) == {wrong, silent, third}


# ---- route


def test_who_gets_traffic_is_noted_before_the_traffic_comes(world):
    """What ends after that did not end while loading; who has weight 0 was not served."""
    (one,), (two,) = world.start(ONE), world.start(TWO)
    world.envoy.sick = {world.records[two].socket}
    world.route(ONE, [one, two], {ONE.bundle.id: 100, TWO.bundle.id: 0})
    assert {id_: r.served for id_, r in world.records.items()} == {one: True, two: False}
    with pytest.raises(Error, match="1 of 2 instances are not healthy"):
        world.route(ONE, [one, two], {ONE.bundle.id: 99, TWO.bundle.id: 1})
    assert world.records[two].served
    assert world.target._proxy.table().services["risk"].weights == {ONE.bundle.id: 100, TWO.bundle.id: 0}


def test_a_service_leaves_without_touching_another(world):
    """No weights, no route; the rest stays word for word."""
    (one,) = world.start(ONE)
    (other,) = world.start(launch("fraud"))
    world.route(ONE, [one])
    world.target.route(
        "fraud", {launch("fraud").bundle.id: 100}, instances=[other], prefix="/fraud/", revision="r2", timeout_s=1.0
    )
    before = world.target._proxy.table().services["fraud"]
    world.target.route("risk", {}, instances=[], prefix="/risk/", revision="r3", timeout_s=5.0)
    assert dict(world.target._proxy.table().services) == {"fraud": before}


# ---- stop


def test_the_last_instance_with_traffic_is_not_stopped(world):
    """The second last may go: it leaves the clusters first, then it is ended, then forgotten."""
    first, second = world.start(replace(ONE, replicas=2))
    world.route(ONE, [first, second])
    left = world.records[second].socket
    world.target.stop(first, drain_s=1.0)
    assert world.told() == [("stop", first), ("discard", first)]
    assert list(world.records) == [second]
    (members,) = world.target._proxy.table().services["risk"].instances.values()
    assert members == {second: left}
    with pytest.raises(Error) as caught:
        world.target.stop(second, drain_s=1.0)
    bundle = ONE.bundle.id
    assert caught.value.message == f"{second} is the last instance of risk for bundle {bundle}, which has traffic"
    assert caught.value.hint == "route the traffic elsewhere first"
    assert (world.told(), list(world.records)) == ([], [second])


def test_the_last_warm_instance_may_be_stopped(world):
    """Its bundle has weight 0."""
    (one,), (two,) = world.start(ONE), world.start(TWO)
    world.route(ONE, [one, two], {ONE.bundle.id: 100, TWO.bundle.id: 0})
    world.target.stop(two, drain_s=1.0)
    assert list(world.records) == [one]
    assert world.target._proxy.table().services["risk"].instances == {
        ONE.bundle.id: {one: world.records[one].socket}, TWO.bundle.id: {},
    }  # fmt: skip


def test_an_instance_is_ended_when_its_requests_are_answered(world):
    """Not before, while the drain lasts."""
    (one,) = world.start(ONE)
    world.target._proxy.idle = lambda sockets: answered.is_set()  # what Envoy counts
    answered = threading.Event()
    stopping = threading.Thread(target=world.target.stop, args=(one,), kwargs={"drain_s": 20.0}, daemon=True)
    stopping.start()
    stopping.join(0.1)
    assert stopping.is_alive()
    assert world.told() == []
    answered.set()
    stopping.join(10)
    assert world.told() == [("stop", one), ("discard", one)]


def test_a_drain_is_bounded(world):
    """The server itself finishes on SIGTERM what is left."""
    (one,) = world.start(ONE)
    world.target._proxy.idle = lambda sockets: False
    began = time.monotonic()
    world.target.stop(one, drain_s=0.05)
    assert time.monotonic() - began >= 0.05
    assert world.records == {}


def test_without_a_proxy_there_is_nothing_to_drain(world):
    """An instance can be stopped although the proxy is gone."""
    (one,) = world.start(ONE)
    world.supervisor.stop(next(iter(world.supervisor.running)))
    world.target.stop(one, drain_s=20.0)
    assert world.records == {}


def test_stopping_is_refused_to_an_older_pass_at_every_step(world):
    """A newer one claims the target while this one waits for the drain: the instance lives on."""
    (one,) = world.start(ONE)

    def idle(sockets):
        Fence(world.layout.root).claim(9)
        return True

    world.target._proxy.idle = idle
    with pytest.raises(Fenced):
        world.target.stop(one, drain_s=5.0)
    assert (world.told(), list(world.records)) == ([], [one])


# ---- down


def test_down_ends_the_proxy_first_and_forgets_everything_but_logs(world):
    """Instances side by side, then supervisord; the fence stays, so that an older pass is still refused."""
    one, two = world.start(replace(ONE, replicas=2))
    world.route(ONE, [one, two])
    (world.layout.logs / f"{one}.log").write_text("kept")
    (proxy,) = world.supervisor.running
    # The process table does not know the fake one: supervisor's list does.
    world.another().down()
    told = world.supervisor.told
    assert told[:2] == [("stop", proxy), ("discard", proxy)]
    assert sorted(told[2:4]) == sorted([("stop", one), ("stop", two)])
    assert sorted(told[4:6]) == sorted([("discard", one), ("discard", two)])
    assert told[6:] == [("shut down", "")]
    left = {str(p.relative_to(world.layout.root)) for p in world.layout.root.rglob("*") if not p.is_dir()}
    assert left == {"fence", "fence.lock", "salt", f"logs/{one}.log"}
    world.another().down()
    assert Fence(world.layout.root).highest() == 1


def test_down_acts_under_the_highest_claim(world):
    """Also when it did not prepare the target; an older pass that did is refused."""
    (one,) = world.start(ONE)
    Fence(world.layout.root).claim(8)
    with pytest.raises(Fenced):
        world.target.down()
    assert list(world.records) == [one]
    world.another().down()
    assert wait_for(lambda: world.records == {})
