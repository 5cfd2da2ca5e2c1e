"""Which routes are in force after a kill, an edit or a loss, what is mended, and how a proxy ends."""

from __future__ import annotations

import threading

import pytest
from mlrelease.errors import Error
from mlrelease.targets.local import xds
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.port import Listen
from mlrelease.targets.local.routing import Routing
from mlrelease.targets.local.state import Table, read_tables, write_tables
from support.local_target import free_port, wait_for
from support.proxy_world import NEW, NEW_CLUSTERS, NEW_ROUTES, OLD, OLD_CLUSTERS, OLD_ROUTES, World, shown
from support.unix_http import short_folder


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


def test_listen_addresses_are_resolved_before_they_reach_the_proxy(tmp_path):
    """Envoy gets an IP address, since it would look a name up for itself, otherwise."""
    port = free_port()
    (listener,) = Routing(Layout(tmp_path)).listener(Listen("localhost", "127.0.0.1", port))
    assert listener["address"] == {"socket_address": {"address": "127.0.0.1", "port_value": port}}


@pytest.mark.parametrize("waiting", [{"cx": 1, "rq": 0}, {"cx": 1, "rq": 1}], ids=["connected", "waiting for an answer"])
def test_a_proxy_ends_when_its_clients_have_gone(serving, waiting):
    """Each is told to go with its next answer; until then it is served."""
    old = serving.envoy
    old.clients = waiting
    ending = threading.Thread(target=serving.proxy.down, args=(serving.supervisor.found(),), daemon=True)
    ending.start()
    wait_for(lambda: len(old.posts) == 2)
    ending.join(0.2)
    assert ending.is_alive()
    assert serving.supervisor.told == []
    old.clients = {"cx": 0, "rq": 0}
    ending.join(20)
    assert [what for what, _ in serving.supervisor.told] == ["stop", "discard"]
