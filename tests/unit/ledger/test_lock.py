"""Who holds the lock, and whether the holder lives."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from mlrelease.ledger.lock import Boot, holder, owner_is_dead, this_boot, this_owner
from mlrelease.model.event import DeployFinished
from support.repositories import NOW, held, started


def ended(start):
    return DeployFinished(
        id=f"F{start.id}",
        environment="staging",
        at=NOW,
        actor="ann",
        revision="0" * 40,
        trigger="deploy",
        started=start.id,
        started_at=NOW,
        services={},
    )


ONE = started(1)
TWO = started(2, supersedes="S1")
OLD = started(0, expires_at=NOW - 1)
EDGE = started(3, expires_at=NOW)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), None),
        ((held(1),), None),
        ((ONE, held(1)), ONE),
        ((ONE, ended(ONE)), None),
        ((OLD,), None),
        ((EDGE,), None),
        ((ONE, TWO), TWO),
        ((ONE, TWO, ended(TWO)), None),
        ((ONE, TWO, ended(ONE)), TWO),
        ((ONE, OLD), ONE),
        ((ONE, ended(ONE), started(4)), started(4)),
    ],
    ids=[
        "nothing happened",
        "no start",
        "a start",
        "a finished one",
        "an expired one",
        "one that expires now",
        "a superseding one",
        "the superseded does not come back",
        "a late finish of the superseded",
        "an expired one after a valid one",
        "a start after a finish",
    ],
)
def test_holder(events, expected):
    """The newest start that is neither finished, superseded nor expired."""
    assert holder(events, NOW) == expected


def test_a_living_owner_is_not_dead():
    """The test's own process lives, under its own start time only."""
    me = this_owner("test")
    assert (me.pid, me.name) == (os.getpid(), "test")
    assert not owner_is_dead(me)
    assert owner_is_dead(replace(me, process_started=me.process_started - 1))


def test_a_gone_process_and_a_zombie_are_dead():
    """A process that ended is dead, before and after its parent takes note."""
    code = (
        "from mlrelease.ledger.lock import this_owner; o = this_owner(); print(o.pid, o.process_started, flush=True); input()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid, at = process.stdout.readline().split()
    owner = replace(this_owner(), pid=int(pid), process_started=float(at))
    assert not owner_is_dead(owner)
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert owner_is_dead(owner)
    process.stdout.close()
    process.wait(10)
    assert owner_is_dead(owner)


BOOT = Boot("machine", "boot1", "ns1")


@pytest.mark.parametrize(
    ("host", "boot", "dead"),
    [
        ("web-1", BOOT, True),
        ("web-2", BOOT, False),
        ("web-1", Boot("machine", "boot2", "ns1"), True),
        ("web-1", Boot("other", "boot2", "ns1"), False),
        ("web-1", Boot("machine", "boot1", "ns2"), False),
        ("web-1", Boot("machine", "", "ns1"), False),
    ],
    ids=[
        "the same host",
        "another host",
        "it came up again",
        "another machine of that name",
        "another container",
        "unknown boot",
    ],
)
def test_only_what_is_certain_counts_as_dead(host, boot, dead):
    """A pid that lives nowhere here is dead only where the owner would have to be seen from here."""
    owner = replace(this_owner(), host="web-1", pid=2**22 + 1, boot=str(BOOT))
    assert owner_is_dead(owner, host=host, boot=boot) is dead


def test_no_machine_id_means_no_word_on_another_boot():
    """Without a machine id a reboot cannot be told from another machine of the same name."""
    owner = replace(this_owner(), host="web-1", pid=2**22 + 1, boot=str(Boot("", "boot1", "ns1")))
    assert not owner_is_dead(owner, host="web-1", boot=Boot("", "boot2", "ns1"))
    assert owner_is_dead(owner, host="web-1", boot=Boot("", "boot1", "ns1"))


def test_an_owner_of_an_older_version_is_never_called_dead():
    """Events written without a boot are judged by expiry alone."""
    assert not owner_is_dead(replace(this_owner(), pid=2**22 + 1, boot=""))


def test_this_boot_is_known_here():
    """The kernel tells its boot and pid namespace."""
    assert this_boot().boot
    assert this_boot().namespace
