"""A proxy comes up, new routes come into force in order, and what was in force is put back when it refuses."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest
from mlrelease.errors import Error
from mlrelease.targets.local import envoy
from mlrelease.targets.local.orphans import Found, Kind, start_time
from mlrelease.targets.local.state import read_tables
from support.local_target import free_port
from support.proxy_world import NEW, NEW_CLUSTERS, NEW_ROUTES, OLD, OLD_CLUSTERS, OLD_ROUTES, World, shown, table
from support.unix_http import answering, short_folder


@pytest.fixture
def world():
    with short_folder() as folder:
        world = World(folder)
        yield world
        world.supervisor.close()


@pytest.fixture
def serving(world):
    """The world with the old bundle routed."""
    world.up().proxy.apply(OLD)
    world.taken()
    return world


# ---- coming up


def test_a_first_proxy_comes_up_with_empty_routes(world):
    """All three files confirmed, a record of what runs, and a program that supervisor keeps."""
    world.up()
    assert world.taken() == [("lds", int(world.listen.rpartition(":")[2])), ("cds", {}), ("rds", {})]
    (program,) = world.supervisor.programs
    token = program.name.removeprefix("envoy.")
    folder = world.supervisor.folder()
    recorded = {"token": token, "generation": 1, "fingerprint": envoy.fingerprint(world.layout, envoy.find_binary())}
    assert json.loads(world.layout.proxy.read_text()) == recorded
    assert (program.keep_on, program.joined, program.log, program.run_file) == (
        True, False, "access.log", folder / f"envoy.{token}.run",
    )  # fmt: skip
    assert program.argv == envoy.command(envoy.find_binary(), folder / f"envoy-{token}.json")
    assert world.proxy.look(timeout_s=5) == (world.proxy.table(), ())


def test_bringing_it_up_twice_starts_one(world):
    """The second pass finds what it wants, and writes no file again."""
    world.up().taken()
    world.another().ensure(world.supervisor.found)
    assert (len(world.supervisor.programs), world.taken(), world.supervisor.told) == (1, [], [])


@pytest.mark.parametrize(
    ("generation", "changed"), [(2, False), (1, True)], ids=["of an older supervisord", "started otherwise than now wanted"]
)
def test_another_proxy_replaces_one_that_does_not_fit(serving, generation, changed):
    """The new one serves the same routes before the old one is drained and ended."""
    (first,) = serving.supervisor.running
    old = serving.envoy
    if changed:
        record = json.loads(serving.layout.proxy.read_text())
        serving.layout.write_json(serving.layout.proxy, record | {"fingerprint": "of another Envoy"})
    serving.supervisor.generation = generation
    serving.another().ensure(serving.supervisor.found)
    (second,) = serving.supervisor.running
    assert second != first
    assert old.posts == ["/healthcheck/fail", "/drain_listeners?graceful"]
    assert serving.supervisor.told == [("stop", first), ("discard", first)]
    assert serving.envoy.versions == old.versions
    assert json.loads(serving.layout.proxy.read_text())["generation"] == generation


def test_an_orphaned_proxy_is_ended_by_its_process(world):
    """One that no supervisor owns: it cannot be drained here, so it gets SIGTERM, and its socket goes."""
    world.up()
    orphan = subprocess.Popen(["sleep", "60"])
    left = world.layout.sockets / "aold"
    left.write_text("")
    found = Found(Kind.PROXY, "old", orphan.pid, start_time(orphan.pid))
    stray = Found(Kind.INSTANCE, "risk-1-1", 1, 0.0)
    world.proxy.ensure(lambda: [*world.supervisor.found(), found, stray])
    assert orphan.wait(10) == -signal.SIGTERM
    assert not left.exists()
    assert world.supervisor.told == []


def test_a_proxy_that_does_not_take_its_configuration_is_taken_away_again(world):
    """The error names the listener, the last line of its log, and where the rest is; nothing is recorded as running."""
    world.supervisor.refuses = {"lds"}
    original = world.supervisor.add

    def add(programs):
        (world.layout.logs / f"{programs[0].name}.log").write_text("first\nlds: bad address\n")
        original(programs)

    world.supervisor.add = add
    with pytest.raises(Error) as caught:
        world.up()
    (program,) = world.supervisor.programs
    assert caught.value.message == "the proxy refused its configuration: lds: bad address"
    assert (caught.value.hint, caught.value.where) == (f"see {world.layout.logs / program.name}.log", world.listen)
    assert world.supervisor.told == [("stop", program.name), ("discard", program.name)]
    assert not world.layout.proxy.exists()


def test_a_new_listen_address_moves_the_same_proxy(serving):
    """Only the listener changes for Envoy; routes and clusters are confirmed again with the content they had."""
    port = free_port()
    serving.another(f"127.0.0.1:{port}").ensure(serving.supervisor.found)
    assert serving.taken() == [("lds", port), ("cds", OLD_CLUSTERS), ("rds", OLD_ROUTES)]
    assert len(serving.supervisor.programs) == 1


# ---- new routes


def test_clusters_come_before_routes_and_leave_after_them(serving):
    """Both sides are clusters during the switch, so no request meets a route without one."""
    serving.proxy.apply(NEW, healthy=["/s/n1"])
    assert serving.taken() == [("cds", OLD_CLUSTERS | NEW_CLUSTERS), ("rds", NEW_ROUTES), ("cds", NEW_CLUSTERS)]
    assert [t.services for t in read_tables(serving.layout)] == [NEW.services]


def test_nothing_leaves_the_clusters_when_nothing_left_the_routes(serving):
    """A warm side keeps its cluster at weight 0: two files move, not three."""
    both = table(old=(0, "o1", "o2"), new=(100, "n1"))
    serving.proxy.apply(both)
    routes = {"risk--new": 100, "risk--old": 0}
    assert serving.taken() == [("cds", OLD_CLUSTERS | NEW_CLUSTERS), ("rds", {"/risk/": routes, "/": routes})]


def test_the_same_table_again_is_confirmed_again(serving):
    """Idempotent: the same content under new versions, and nothing else."""
    serving.proxy.apply(OLD)
    assert serving.taken() == [("cds", OLD_CLUSTERS), ("rds", OLD_ROUTES)]
    assert serving.proxy.table().services == OLD.services


def test_an_instance_that_is_not_healthy_gets_no_route(serving):
    """The routes never moved, the clusters are those of before, and the error names sockets and counts."""
    serving.envoy.sick = {"/s/n1"}
    with pytest.raises(Error) as caught:
        serving.proxy.apply(NEW, healthy=["/s/n1", "/s/o1", "/s/unknown"])
    told = (caught.value.message, caught.value.hint, caught.value.where)
    assert told == ("2 of 3 instances are not healthy at the proxy", "see the logs of the instances", "n1, unknown")
    assert serving.taken() == [("cds", OLD_CLUSTERS | NEW_CLUSTERS), ("cds", OLD_CLUSTERS)]
    assert [t.services for t in read_tables(serving.layout)] == [OLD.services]
    assert serving.proxy.look(timeout_s=5)[1] == ()


def test_an_instance_that_is_not_asked_about_may_be_sick(serving):
    """Who leaves the routes needs not be healthy."""
    serving.envoy.sick = {"/s/o1", "/s/o2"}
    serving.proxy.apply(NEW, healthy=["/s/n1"])
    assert serving.proxy.table().services == NEW.services


@pytest.mark.parametrize(("kind", "name"), [("cds", "clusters"), ("rds", "routes")])
def test_a_refused_file_puts_back_what_was_in_force(serving, kind, name):
    """A proxy that refuses once takes the old files again; the error says which file it was."""
    serving.envoy.refuses = {kind}
    once = serving.envoy.handle

    def take_the_next(*question):
        answer = once(*question)
        if serving.envoy.refused[kind]:
            serving.envoy.refuses = set()
        return answer

    serving.envoy.handle = take_the_next
    (program,) = serving.supervisor.running
    serving.supervisor._stops.pop(program).close()
    socket = serving.layout.socket("a" + program.partition(".")[2])
    with answering(socket, take_the_next), pytest.raises(Error) as caught:
        serving.proxy.apply(NEW)
    assert caught.value.message == f"the proxy refused its {name}"
    assert caught.value.hint == f"see the proxy's log in {serving.layout.logs}"
    assert [t.services for t in read_tables(serving.layout)] == [OLD.services]
    assert (shown("rds", serving.envoy.content["rds"]), shown("cds", serving.envoy.content["cds"])) == (
        OLD_ROUTES, OLD_CLUSTERS,
    )  # fmt: skip


def test_what_can_neither_be_applied_nor_put_back_says_both(serving):
    """The person who reads it has to know that two things are wrong."""
    serving.envoy.refuses = {"rds"}
    with pytest.raises(Error) as caught:
        serving.proxy.apply(NEW)
    assert caught.value.message == (
        "the proxy refused its routes; and what was in force could not be put back: the proxy refused its routes"
    )
    now, before = read_tables(serving.layout)
    assert (now.services, before.services) == (NEW.services, OLD.services)
    assert serving.proxy.table().services == OLD.services, "the version that the proxy names tells which of the two holds"


def test_without_a_proxy_no_route_is_written(world):
    """The error says what brings it back, and no file appears."""
    with pytest.raises(Error, match=r"^the proxy is not running$") as caught:
        world.proxy.apply(NEW)
    assert caught.value.hint == "see the logs of the proxy; the next pass starts it again"
    assert list(world.layout.xds.iterdir()) == []
    assert not world.layout.routes.exists()
