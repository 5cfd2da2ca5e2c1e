"""Owners of a lock: what is certain of a process, and what the fold of starts and finishes says in any order of words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.ledger.identity import authored
from mlrelease.ledger.lock import START_TOLERANCE_S, Boot, holder, owner_is_dead, this_boot, this_owner
from mlrelease.model.event import DeployFinished, Owner
from support.repositories import NOW, held, started


def finished(start):
    return DeployFinished(f"F{start.id}", "staging", NOW, "ann", "0" * 40, "deploy", start.id, NOW, {})


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["start", "finish", "take over", "word"]), st.booleans()), max_size=10))
def test_at_most_the_newest_unfinished_start_holds_the_lock(words):
    """Told by a model: each start is finished by its own finish, superseded by a taker, or over by its expiry."""
    events, open_starts = [], []
    for number, (word, lives) in enumerate(words):
        if word == "word":
            events.append(held(number))
        elif word == "finish" and open_starts:
            events.append(finished(open_starts.pop()))
        else:
            taken = open_starts.pop().id if word == "take over" and open_starts else ""
            start = started(number, expires_at=NOW + (1 if lives else 0), supersedes=taken)
            events.append(start)
            open_starts.append(start)
    living = [start for start in open_starts if start.expires_at > NOW]
    assert holder(events, NOW) == (living[-1] if living else None)
    assert holder(events, NOW + 2) is None


def test_a_finish_of_nobody_ends_nothing():
    """Nor does a taker of nobody."""
    one = started(1)
    assert holder([one, finished(started(9))], NOW) == one
    assert holder([one, started(2, supersedes="S9")], NOW) == started(2, supersedes="S9")


@pytest.mark.parametrize(
    ("off", "dead"),
    [(0.0, False), (START_TOLERANCE_S * 0.9, False), (START_TOLERANCE_S * 2, True), (-START_TOLERANCE_S * 2, True)],
)
def test_another_start_time_is_another_process(off, dead):
    """A pid is used again; the kernel's hundredths of a second are not."""
    me = this_owner()
    assert owner_is_dead(replace(me, process_started=me.process_started + off)) is dead


def test_a_start_time_that_was_not_known_says_nothing():
    """An owner that could not read its own is judged by its pid alone."""
    assert not owner_is_dead(replace(this_owner(), process_started=0.0))


def test_a_process_of_another_user_lives():
    """To send it a signal is refused, which shows that it is there: pid 1."""
    one = replace(this_owner(), pid=1, process_started=0.0)
    assert not owner_is_dead(one)


@pytest.mark.parametrize("pid", [2**22 + 1, 2**31 - 1, 2**31, 2**63, 2**70])
def test_a_pid_that_no_kernel_gives_out_is_dead(pid):
    """However large a number a ledger holds, the next pass must be able to take over."""
    assert owner_is_dead(replace(this_owner(), pid=pid))


@pytest.mark.parametrize("boot", ["", "a/b", "a/b/c/d", "/"], ids=lambda boot: f"boot {boot!r}")
def test_a_boot_in_another_form_is_not_judged(boot):
    """An older or a newer version wrote it."""
    assert not owner_is_dead(replace(this_owner(), pid=2**22 + 1, boot=boot))


def test_a_boot_is_written_and_read_in_three_parts():
    """Machine, boot and namespace, as `owner_is_dead` takes them apart again; the machine's own id is not among them."""
    boot = this_boot()
    assert Boot(*str(boot).split("/")) == boot
    assert this_owner().boot == str(boot)
    machine = Path("/etc/machine-id")
    shown = machine.read_text().strip() if machine.exists() else ""
    assert not shown or shown not in str(boot)


def test_who_owns_in_words():
    """For a person; without a name it is a process."""
    assert str(Owner("web-1", 7, 1.0, "mlrelease deploy")) == "mlrelease deploy on web-1 (pid 7)"
    assert str(Owner("web-1", 7, 1.0)) == "process on web-1 (pid 7)"


@pytest.mark.parametrize(("now", "date"), [(NOW + 0.9, f"@{int(NOW)} +0000"), (0.0, "@0 +0000"), (-5.0, "@0 +0000")])
def test_the_tool_signs_with_its_own_name_at_this_moment(now, date):
    """Git takes no moment before 1970, and needs no identity of the host."""
    assert authored(now) == {
        "GIT_AUTHOR_NAME": "mlrelease",
        "GIT_AUTHOR_EMAIL": "mlrelease@localhost",
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": "mlrelease",
        "GIT_COMMITTER_EMAIL": "mlrelease@localhost",
        "GIT_COMMITTER_DATE": date,
    }
