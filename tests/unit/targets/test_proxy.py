"""The order in which routes come into force, what is put back when the proxy refuses, and what a look says is wrong."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest
from mlrelease.errors import Error
from mlrelease.targets.local import envoy, xds
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.orphans import Found, Kind, start_time
from mlrelease.targets.local.port import Listen
from mlrelease.targets.local.proxy import Proxy
from mlrelease.targets.local.state import Routed, Table, read_tables, write_tables
from support.fake_envoy import FakeSupervisor
from support.local_target import free_port
from support.unix_http import answering, short_folder


class World:
    """A proxy over fakes, in a folder of its own."""

    def __init__(self, folder):
        self.layout = Layout(folder)
        self.layout.make()
        self.supervisor = FakeSupervisor(self.layout)
        self.listen = f"127.0.0.1:{free_port()}"
        self.proxy = self.another()

    def another(self, listen=""):
        """What a later pass would work with."""
        proxy = Proxy(self.layout, listen or self.listen, self.supervisor)
        proxy.patience_s = 0.2
        return proxy

    def up(self):
        self.proxy.ensure(self.supervisor.found)
        return self

    @property
    def envoy(self):
        (envoy,) = self.supervisor.running.values()
        return envoy

    def taken(self):
        """What the proxy took since the last question, in order: clusters by name with their sockets, or weights."""
        taken, self.envoy.taken[:] = list(self.envoy.taken), []
        return [(kind, shown(kind, resources)) for kind, resources in taken]

    def edit(self, kind, change):
        file = self.layout.xds / f"{kind}.json"
        file.write_text(change(file.read_text()))


def shown(kind, resources):
    if kind == "cds":
        data = json.dumps({"resources": resources}).encode()
        return {name: sorted(members) for name, members in xds.read_members(data).items()}
    if kind == "lds":
        return resources[0]["address"]["socket_address"]["port_value"]
    routes = resources[0]["virtual_hosts"][0]["routes"]
    return {r["match"]["prefix"]: weights(r) for r in routes if "route" in r}


def weights(entry):
    return {c["name"]: c["weight"] for c in entry["route"]["weighted_clusters"]["clusters"]}


@pytest.fixture
def world():
    with short_folder() as folder:
        world = World(folder)
        yield world
        world.supervisor.close()


def table(**bundles):
    """One service `risk`: bundle=(weight, instance, …), the socket of instance `i` being `/s/i`."""
    members = {bundle: {i: f"/s/{i}" for i in instances} for bundle, (_, *instances) in bundles.items()}
    return Table({"risk": Routed({b: w for b, (w, *_) in bundles.items()}, members, "/risk/", "rev", 60.0)})


OLD, NEW = table(old=(100, "o1", "o2")), table(new=(100, "n1"))
OLD_ROUTES = {"/risk/": {"risk--old": 100}, "/": {"risk--old": 100}}
NEW_ROUTES = {"/risk/": {"risk--new": 100}, "/": {"risk--new": 100}}
OLD_CLUSTERS, NEW_CLUSTERS = {"risk--old": ["/s/o1", "/s/o2"]}, {"risk--new": ["/s/n1"]}


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


# ---- the truth after a kill, an edit or a loss


@pytest.mark.parametrize(("confirmed", "expected"), [("new", NEW), ("old", OLD)])
def test_killed_between_two_tables_the_proxy_says_which_holds(serving, confirmed, expected):
    """Both are recorded while the routes move; the version in force decides, whatever the order."""
    serving.proxy.apply(NEW)
    (new,) = read_tables(serving.layout)
    serving.proxy.apply(OLD)
    (old,) = read_tables(serving.layout)
    serving.proxy.apply(NEW if confirmed == "new" else OLD)
    write_tables(serving.layout, new, old)
    assert serving.proxy.table().services == expected.services
    write_tables(serving.layout, old, new)
    assert serving.proxy.table().services == expected.services


def test_without_a_proxy_the_file_says_which_table_holds(serving):
    """It is what the next Envoy will read as it comes up."""
    (old,) = read_tables(serving.layout)
    serving.supervisor.stop(next(iter(serving.supervisor.running)))
    write_tables(serving.layout, Table(NEW.services, {"rds": "0" * 16}), old)
    seen, problems = serving.proxy.look(timeout_s=1)
    assert (seen.services, problems) == (OLD.services, ("proxy: not running",))
    serving.edit("rds", lambda _: "{}")
    assert serving.proxy.table().services == NEW.services, "where nothing tells, the newest that is recorded"


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda w: w.edit("rds", lambda t: t.replace('"weight": 100', '"weight": 99')), "route: edited by hand"),
        (lambda w: w.edit("cds", lambda _: ""), "route: edited by hand"),
        (lambda w: (w.layout.xds / "lds.json").unlink(), "route: edited by hand"),
        (lambda w: w.edit("rds", lambda t: t.replace("-", "-0", 1)), "route: not confirmed by the proxy"),
        (
            lambda w: w.layout.write(w.layout.xds / "cds.json", xds.versioned(xds.clusters({"x": {"a": "/b"}}), "n").data),
            "route: not as recorded",
        ),
    ],
    ids=["a weight changed", "a file emptied", "a file removed", "moved and not taken", "other content under its own hash"],
)
def test_what_is_wrong_with_a_file_is_said_once_and_mended(serving, harm, problem):
    """`ensure` writes what is recorded again, and only what was recorded."""
    if "not confirmed" in problem:
        serving.envoy.refuses = {"rds"}
    harm(serving)
    assert serving.proxy.look(timeout_s=5)[1] == (problem,)
    serving.envoy.refuses = set()
    serving.proxy.ensure(serving.supervisor.found)
    assert serving.proxy.look(timeout_s=5) == (serving.proxy.table(), ())
    assert serving.proxy.table().services == OLD.services
    assert (shown("rds", serving.envoy.content["rds"]), shown("cds", serving.envoy.content["cds"])) == (
        OLD_ROUTES, OLD_CLUSTERS,
    )  # fmt: skip


def test_several_files_edited_are_one_problem(serving):
    """Said once, not once for each file."""
    for kind in ("cds", "rds"):
        serving.edit(kind, lambda _: "{}")
    assert serving.proxy.look(timeout_s=5)[1] == ("route: edited by hand",)


def test_a_lost_table_does_not_take_the_routes_with_it(serving):
    """The files go on; what carries traffic stays a cluster while the next table comes into force."""
    serving.layout.routes.unlink()
    serving.proxy.ensure(serving.supervisor.found)
    assert serving.taken() == []
    serving.proxy.apply(NEW)
    assert serving.taken() == [("cds", OLD_CLUSTERS | NEW_CLUSTERS), ("rds", NEW_ROUTES), ("cds", NEW_CLUSTERS)]


def test_lost_files_are_written_from_the_table(serving):
    """All three, and confirmed."""
    for kind in xds.RESOURCES:
        (serving.layout.xds / f"{kind}.json").unlink()
    serving.proxy.ensure(serving.supervisor.found)
    assert [kind for kind, _ in serving.taken()] == ["lds", "cds", "rds"]
    assert serving.proxy.look(timeout_s=5)[1] == ()


@pytest.mark.parametrize("text", ['{"token": "x"}', '["x"]', '{"token": "x", "generation": 1, "fingerprint": "f", "more": 1}'])
def test_a_damaged_record_of_the_proxy_is_named(world, text):
    """With the file and the way out."""
    world.layout.proxy.write_text(text)
    with pytest.raises(Error, match=r"^proxy\.json is damaged$") as caught:
        world.proxy.table()
    assert (caught.value.hint, caught.value.where) == (
        "move it away; the next deploy starts a proxy", str(world.layout.proxy),
    )  # fmt: skip


# ---- idle, and the end


def test_idle_is_when_nobody_waits_for_an_answer(serving):
    """Requests at another socket do not count, nor do those of an instance that is in no cluster and has no connection."""
    serving.envoy.in_flight = {"/s/o1": 1}
    assert not serving.proxy.idle(["/s/o1", "/s/o2"])
    assert serving.proxy.idle(["/s/o2"])
    assert serving.proxy.idle(["/s/gone"])
    assert serving.proxy.idle([])
    serving.envoy.in_flight = {}
    assert serving.proxy.idle(["/s/o1", "/s/o2"])


def test_a_connection_that_the_proxy_has_forgotten_still_counts(serving):
    """After its cluster went, the last answers come in over connections that are open."""
    import socket

    path = serving.layout.socket("left")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        assert serving.proxy.idle([path])
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            accepted, _ = listener.accept()
            assert not serving.proxy.idle([path])
            accepted.close()
    assert serving.proxy.idle([path])


def test_idle_cannot_be_told_without_a_proxy(world):
    """An error, not a guess."""
    with pytest.raises(Error, match=r"^the proxy does not answer$") as caught:
        world.proxy.idle(["/s/1"])
    assert caught.value.hint == "the next pass starts it again"


def test_down_ends_what_is_there_and_forgets_it(serving):
    """Without clients at once: a proxy that nobody replaces need not wait for connections that are gone. Twice is once."""
    (program,) = serving.supervisor.running
    old = serving.envoy
    serving.proxy.down(serving.supervisor.found())
    assert old.posts == ["/healthcheck/fail", "/drain_listeners?graceful"]
    assert serving.supervisor.told == [("stop", program), ("discard", program)]
    left = [p.name for p in (serving.layout.proxy, serving.layout.routes, *serving.layout.xds.iterdir()) if p.exists()]
    assert left == []
    serving.proxy.down([])


def test_a_program_whose_process_was_not_found_does_not_come_back(serving):
    """It is between two starts: supervisor forgets it; what is no proxy stays."""
    (program,) = serving.supervisor.running
    serving.supervisor.running["risk-abc-1"] = serving.envoy
    serving.proxy.down([])
    assert serving.supervisor.told == [("stop", program), ("discard", program)]


def test_listen_addresses_are_resolved_before_they_reach_the_proxy(world):
    """Envoy gets an IP address, since it would look a name up for itself, otherwise."""
    port = free_port()
    (listener,) = world.another(f"localhost:{port}")._listener(Listen("localhost", "127.0.0.1", port))
    assert listener["address"] == {"socket_address": {"address": "127.0.0.1", "port_value": port}}
