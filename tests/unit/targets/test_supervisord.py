"""A real supervisord with real programs: started again, ended for good, stopped, forgotten, each with its own environment."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import psutil
import pytest
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.supervisor import EXITED, FATAL, RUNNING, Program, Supervisor
from support.local_target import wait_for
from support.unix_http import short_folder

pytestmark = pytest.mark.xdist_group("supervisor")


def program(layout, name="risk-abc-1", argv=("sleep", "60"), **more):
    folder = layout.configs
    return Program(
        name, list(argv), {"PATH": os.environ["PATH"]}, folder / f"{name}.run", f"{name}.log", **({"keep_on": False} | more)
    )


@pytest.fixture(scope="module")
def real():
    """A real supervisord in a folder whose name is ini syntax, ended with the module."""
    with short_folder() as folder:
        layout = Layout(folder / "50% ;x")
        layout.make()
        one = Supervisor(layout)
        assert one.ensure()
        pid = int((one.folder() / "pid").read_text())
        try:
            yield one, layout
        finally:
            one.shut_down()
            wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 20)


def state_of(one, name, *states):
    return wait_for(lambda: (p := one.processes()[name]).state in states and p)


def shell(layout, name, script):
    return program(layout, name, ["/bin/sh", "-c", script])


def test_what_runs_is_not_started_again(real):
    """The same generation, and False."""
    one, layout = real
    assert (one.ensure(), Supervisor(layout).ensure(), one.generation) == (False, False, 1)
    assert stat.S_IMODE(os.stat(layout.socket("v1")).st_mode) == 0o600


def test_a_program_runs_with_its_own_environment_and_leaves_on_demand(real):
    """Added twice is added once; its secrets are in a private file; stopped and discarded it is unknown, twice as well."""
    one, layout = real
    given = program(layout, "svc-a-1", ["/bin/sh", "-c", "echo $SECRET; echo $0 >&2; exec sleep 60", "100% $x"])
    given = Program(
        **{f: getattr(given, f) for f in Program.__slots__} | {"env": {"SECRET": "a b;%c", "PATH": "/bin:/usr/bin"}}
    )
    one.add([given])
    first = state_of(one, "svc-a-1", RUNNING)
    one.add([given])
    assert one.processes()["svc-a-1"].pid == first.pid
    log = layout.logs / "svc-a-1.log"
    wait_for(lambda: log.exists() and log.read_text() == "a b;%c\n100% $x\n")
    assert stat.S_IMODE(given.run_file.stat().st_mode) == 0o600
    assert json.loads(given.run_file.read_text())["env"]["SECRET"] == "a b;%c"
    one.stop("svc-a-1")
    one.discard("svc-a-1")
    assert "svc-a-1" not in one.processes()
    assert not psutil.pid_exists(first.pid)
    assert not (one.folder() / "programs" / "svc-a-1.conf").exists()
    one.stop("svc-a-1")
    one.discard("svc-a-1")


@pytest.mark.parametrize(
    ("script", "state", "status"),
    [("exit 3", EXITED, 3), ("exit 1", EXITED, 1), ("exit 5", EXITED, 5)],
    ids=["another digest", "errored", "another golden prediction"],
)
def test_an_exit_of_its_own_is_final(real, script, state, status):
    """The code is there to be told, and nothing is started again."""
    one, layout = real
    name = f"svc-exit-{status}"
    one.add([shell(layout, name, script)])
    ended = state_of(one, name, EXITED, FATAL)
    assert (ended.state, ended.exit_status, ended.final, ended.pid) == (state, status, True, 0)
    one.discard(name)


def test_a_crash_is_started_again(real):
    """A process that a signal ended has another one at once, and is known to have ended before."""
    one, layout = real
    one.add([shell(layout, "svc-crash-1", "exec sleep 60")])
    first = state_of(one, "svc-crash-1", RUNNING)
    os.kill(first.pid, signal.SIGKILL)
    second = wait_for(lambda: (p := one.processes()["svc-crash-1"]).pid not in (0, first.pid) and p)
    assert (first.ended_before, second.ended_before, second.runs) == (False, True, True)
    one.stop("svc-crash-1")
    one.discard("svc-crash-1")


def test_programs_are_added_together_and_each_has_its_file(real):
    """What one start of a service needs, in one call."""
    one, layout = real
    names = [f"svc-many-{n}" for n in range(3)]
    one.add([shell(layout, name, "exec sleep 60") for name in names])
    assert set(names) <= one.processes().keys()
    files = {Path(f).stem for f in os.listdir(one.folder() / "programs")}
    assert set(names) <= files
    for name in names:
        one.stop(name)
    for name in names:
        one.discard(name)
    assert not set(names) & one.processes().keys()
