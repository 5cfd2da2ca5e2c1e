"""One look at everything of a state folder: what is gone is named, strays are seen, nothing is changed."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest
from mlrelease.errors import Error
from mlrelease.model.live import Instance, Role
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.look import look
from mlrelease.targets.local.proxy import Proxy
from mlrelease.targets.local.state import Record, Routed, Table, write_record, write_tables
from mlrelease.targets.local.supervisor import Supervisor
from support.local_target import wait_for
from support.unix_http import answering, short_folder

RECORD = Record("risk-abc-1", "risk", "abc", "/s/1", "/c/1", "hash", generation=3, created_at=1.0)
SERVER = ("tail", "-f")
SAID = {
    "service": "risk",
    "bundle": "abc",
    "image": "example/serve:1",
    "instance": "risk-abc-1",
    "runtime": "python 3.11",
    "started_at": "2026-01-01T00:00:00.000Z",
    "models": [{"name": "b", "version": "2", "digest": "sha256:2"}, {"name": "a", "version": "1", "digest": "sha256:1"}],
}


@pytest.fixture
def layout():
    with short_folder() as folder:
        layout = Layout(folder)
        layout.make()
        yield layout


def routed(weights, members):
    return Table({"risk": Routed(weights, members, "/risk/", "r", 60.0)})


@pytest.fixture
def observe(layout):
    """`observe(service)` over the folder, with no supervisord and no Envoy behind it."""
    supervisor = Supervisor(layout)
    proxy = Proxy(layout, "127.0.0.1:1", supervisor)
    return lambda service="": look(layout, supervisor, proxy, SERVER, service=service)


def test_before_the_first_deploy_nobody_is_asked(layout, observe):
    """No generation, no problem; what is recorded is shown, and does not run."""
    write_record(layout, RECORD)
    seen = observe()
    assert (seen.problems, dict(seen.routes)) == ((), {})
    assert [(i.id, i.failure, i.ready) for i in seen.instances] == [(RECORD.id, "not running", False)]


def test_what_is_gone_below_the_instances_is_said_once_each(layout, observe):
    """Supervisor and proxy are named; the recorded routes are shown although nobody serves them."""
    layout.write_json(layout.supervisor, {"generation": 1})
    write_tables(layout, routed({"abc": 100}, {"abc": {RECORD.id: "/s/1"}}))
    seen = observe()
    assert seen.problems == ("supervisor: not running", "proxy: not running")
    assert seen.routes["risk"].weights == {"abc": 100}


def test_a_supervisor_that_talks_nonsense_does_not_hide_the_rest(layout, observe):
    """Its trouble is a problem of the target, not the end of the look."""
    layout.write_json(layout.supervisor, {"generation": 1})
    write_record(layout, RECORD)
    with answering(layout.socket("v1"), lambda *_: (200, b"<no xml")):
        seen = observe()
    assert seen.problems == ("supervisor: supervisord's answer to getAllProcessInfo cannot be read", "proxy: not running")
    assert [i.id for i in seen.instances] == [RECORD.id]


@pytest.fixture
def stray(layout):
    """A living process with the command line of an instance, and its configuration, but without a record."""
    config = layout.configs / "risk-old-1.json"
    config.write_text(json.dumps({"listen": f"unix:{layout.socket('x')}", "service": "risk", "bundle": "old"}))
    child = subprocess.Popen([*SERVER, str(config)], stdout=subprocess.DEVNULL)
    yield SimpleNamespace(pid=child.pid, config=config, socket=layout.socket("x"))
    child.kill()
    child.wait()


def strays(seen):
    return [i for i in seen.instances if i.role is Role.STRAY]


def test_a_stray_is_named_by_its_configuration_until_it_speaks(layout, observe, stray):
    """Its own word goes before what its file says; a record makes it no stray."""
    (silent,) = wait_for(lambda: strays(observe()))
    assert silent == Instance("risk-old-1", "risk", "old", Role.STRAY, ready=False, supervised=False, pid=stray.pid)
    said = json.dumps(SAID | {"service": "fraud", "bundle": "new"}).encode()
    with answering(stray.socket, lambda *_: (200, said)):
        (heard,) = strays(observe())
    assert (heard.service, heard.bundle, heard.ready, heard.identity.instance) == ("fraud", "new", True, "risk-abc-1")
    write_record(layout, replace(RECORD, id="risk-old-1", service="fraud", socket=stray.socket))
    assert strays(observe()) == []
    assert strays(observe("risk")) == []


def test_a_look_at_one_service_leaves_the_others_away(layout, observe, stray):
    """Of instances and strays alike; an instance of another service is no stray of this one."""
    for service in ("risk", "fraud"):
        write_record(layout, replace(RECORD, id=f"{service}-abc-1", service=service, socket=layout.socket("none")))
    wait_for(lambda: strays(observe()))
    assert sorted(i.id for i in observe("risk").instances) == ["risk-abc-1", "risk-old-1"]
    assert [i.id for i in observe("fraud").instances] == ["fraud-abc-1"]
    assert observe("nothing").instances == ()


def test_a_look_changes_nothing(layout, observe, stray):
    """No file is written, touched or removed."""
    write_record(layout, RECORD)
    layout.write_json(layout.supervisor, {"generation": 1})

    def files():
        return {str(p): os.stat(p).st_mtime_ns for p in layout.root.rglob("*")}

    before = files()
    observe()
    assert files() == before


@pytest.mark.parametrize("name", ["routes.json", "proxy.json", "supervisor.json"])
def test_a_damaged_file_of_the_target_is_an_error_that_names_it(layout, observe, name):
    """A look that guesses would plan from a guess."""
    layout.write_json(layout.supervisor, {"generation": 1})
    (layout.root / name).write_text("{")
    with pytest.raises(Error, match=f"^{name} is damaged$") as caught:
        observe()
    assert caught.value.where == str(layout.root / name)
