"""Which living processes belong to a state folder, and how exactly these are ended, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from mlrelease.targets.local import orphans
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.orphans import Found, Kind
from support.local_target import wait_for

ROOT = "/var/state"
SERVER = ("/usr/bin/python3", "-m", "mlrelease.serving")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([*SERVER, f"{ROOT}/configs/risk-a-1.json"], (Kind.INSTANCE, "risk-a-1")),
        (["/opt/own/python", *SERVER[1:], f"{ROOT}/configs/risk-a-1.json"], (Kind.INSTANCE, "risk-a-1")),
        ([*SERVER, f"{ROOT}/configs/risk.a.json"], (Kind.INSTANCE, "risk.a")),
        ([*SERVER, f"{ROOT}/configs/below/risk-a-1.json"], None),
        ([*SERVER, f"{ROOT}2/configs/risk-a-1.json"], None),
        ([*SERVER, "--debug", f"{ROOT}/configs/risk-a-1.json"], None),
        (["vim", f"{ROOT}/configs/risk-a-1.json"], None),
        (["tail", "-f", f"{ROOT}/configs/risk-a-1.json"], None),
        ([f"{ROOT}/configs/risk-a-1.json"], None),
        (["/x/envoy", "-c", f"{ROOT}/supervisor/3/envoy-ab12.json", "--concurrency", "1"], (Kind.PROXY, "ab12")),
        (["/x/envoy-1.40", "-c", f"{ROOT}/supervisor/3/envoy-ab12.json"], (Kind.PROXY, "ab12")),
        (["/x/nginx", "-c", f"{ROOT}/supervisor/3/envoy-ab12.json"], None),
        (["/envoy/cat", "-c", f"{ROOT}/supervisor/3/envoy-ab12.json"], None),
        (["/x/envoy", "-c", f"{ROOT}/other/envoy-ab12.json"], None),
        (["/x/envoy", "--config", f"{ROOT}/supervisor/3/envoy-ab12.json"], None),
        (["python", "-m", "supervisor.supervisord", "-c", f"{ROOT}/supervisor/12/supervisord.conf"], (Kind.SUPERVISOR, "12")),
        (["python", "-m", "supervisor.supervisorctl", "-c", f"{ROOT}/supervisor/12/supervisord.conf"], None),
        (["python", "-m", "supervisor.supervisord", "-c", "/etc/supervisor/supervisord.conf"], None),
        ([], None),
        ([""], None),
    ],
    ids=[
        "an instance, by its configuration",
        "an instance with an interpreter of its own",
        "a name with a dot",
        "a file further below",
        "a state folder whose name begins the same",
        "other arguments between",
        "an editor of the same file",
        "a reader of the same file",
        "a file alone",
        "a proxy, by its token",
        "a proxy of another name",
        "another program with the same file",
        "a program in a folder called envoy",
        "an envoy of something else",
        "an envoy started otherwise",
        "a supervisord, by its generation",
        "the supervisor's client",
        "the machine's own supervisord",
        "a kernel thread",
        "an empty name",
    ],
)
def test_a_process_is_told_by_the_whole_shape_of_its_command_line(arguments, expected):
    """What only names a file of the state folder is somebody else's."""
    assert orphans._classify(Layout(Path(ROOT)), SERVER, arguments) == expected


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path)
    layout.make()
    return layout


@pytest.fixture
def spawn():
    """Starts processes that end with the test."""
    started = []

    def start(*command, **options):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, **options)
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def stubborn(spawn):
    """A shell that ignores SIGTERM, once it does."""
    child = spawn("sh", "-c", "trap '' TERM; echo on; read x; read y")
    assert child.stdout.readline() == b"on\n"
    return child


def found(child):
    return Found(Kind.INSTANCE, "x", child.pid, orphans.start_time(child.pid))


def test_living_processes_of_the_folder_are_found_and_the_dead_are_not(layout, spawn):
    """With kind, key, pid and start time; neither a zombie nor a process of another folder is among them."""
    other = Layout(layout.root / "other")
    other.make()
    for place, name in ((layout, "a"), (layout, "b"), (other, "c")):
        (place.configs / f"risk-1-{name}.json").write_text("{}")
    one, two, three = (
        spawn("tail", "-f", str(place.configs / f"risk-1-{name}.json"))
        for place, name in ((layout, "a"), (layout, "b"), (other, "c"))
    )
    spawn("tail", "-n", "0", "-f", str(layout.configs / "risk-1-a.json"))
    seen = wait_for(lambda: len(f := orphans.find(layout, ("tail", "-f"))) == 2 and f)
    expected = {
        Found(Kind.INSTANCE, f"risk-1-{n}", c.pid, psutil.Process(c.pid).create_time()) for n, c in (("a", one), ("b", two))
    }
    assert set(seen) == expected
    one.kill()
    os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
    assert [f.pid for f in orphans.find(layout, ("tail", "-f"))] == [two.pid]
    assert [f.pid for f in orphans.find(other, ("tail", "-f"))] == [three.pid]


def test_alive_is_this_very_process_and_no_zombie(spawn):
    """Another start time is another process, a zombie is none."""
    child = spawn("cat")
    started = orphans.start_time(child.pid)
    assert started > 0
    assert orphans.alive(child.pid, started)
    assert not orphans.alive(child.pid, started + 1)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not orphans.alive(child.pid, started)
    child.wait()
    assert not orphans.alive(child.pid, started)


def test_no_process_has_no_start_time(spawn):
    """0, also for the pid 0 that stands for none."""
    child = spawn("true")
    child.wait()
    assert (orphans.start_time(child.pid), orphans.start_time(0)) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("act", "number"), [(orphans.send_term, signal.SIGTERM), (orphans.kill, signal.SIGKILL)], ids=["asked", "ended at once"]
)
def test_a_signal_reaches_this_very_process_and_never_a_reused_pid(spawn, act, number):
    """Under another start time nothing is sent; to one that has ended nothing is sent either."""
    child = spawn("cat")
    act(replace(found(child), started=1.0))
    child.stdin.write(b"still here\n")
    child.stdin.flush()
    assert child.stdout.readline() == b"still here\n"
    this = found(child)
    act(this)
    assert child.wait(10) == -number
    act(this)


def test_what_ends_when_asked_is_asked_only(spawn):
    """SIGTERM and no SIGKILL, well before patience is over."""
    child = spawn("cat")
    began = time.monotonic()
    orphans.end(found(child), 60)
    assert child.wait() == -signal.SIGTERM
    assert time.monotonic() - began < 30


def test_what_does_not_end_when_asked_is_killed(spawn):
    """After the patience that was given."""
    child = stubborn(spawn)
    began = time.monotonic()
    orphans.end(found(child), 0.05)
    assert time.monotonic() - began >= 0.05
    assert child.wait() == -signal.SIGKILL


def test_ending_what_has_ended_is_fine(spawn):
    """Nothing is sent to whoever has its pid now."""
    child = spawn("cat")
    this = found(child)
    orphans.end(replace(this, started=1.0), 0.0)
    assert child.poll() is None
    child.kill()
    child.wait()
    orphans.end(this, 0.0)
