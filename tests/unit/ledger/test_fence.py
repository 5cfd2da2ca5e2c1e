"""The fence: numbers, the lock around an effect, and processes that are paused or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from mlrelease.errors import Error
from mlrelease.ledger.fence import Fence
from mlrelease.targets.interface import Fenced

HOLDER = """
import sys
from pathlib import Path
from mlrelease.ledger.fence import Fence
from mlrelease.targets.interface import Fenced
fence = Fence(Path(sys.argv[1]), name="holder")
number = int(sys.argv[2])
fence.claim(number)
print("claimed", flush=True)
for line in sys.stdin:
    try:
        with fence.guard(number):
            print("in", flush=True)
            if line.strip() == "stay":
                sys.stdin.readline()
        print("out", flush=True)
    except Fenced as e:
        print("fenced", flush=True)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that claims 5 and enters the guard for every line that it is given."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), "5"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.kill()
    process.communicate(timeout=10)


def tell(process, word):
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def test_a_lower_number_is_refused_from_then_on(tmp_path):
    """Claims rise; the same number is no harm; a lower one is refused at the claim and at every guard."""
    old, new = Fence(tmp_path / "state"), Fence(tmp_path / "state")
    old.claim(3)
    old.claim(3)
    with old.guard(3):
        pass
    new.claim(4)
    for act in (lambda: old.claim(3), lambda: old.guard(3).__enter__()):
        with pytest.raises(Fenced, match="its number is 4, this one's is 3"):
            act()
    with new.guard(4):
        pass
    assert new.highest() == 4


def test_a_guard_claims_what_nobody_claimed(tmp_path):
    """After the number file was lost, the first guard keeps older passes out again."""
    Fence(tmp_path).claim(7)
    (tmp_path / "fence").unlink()
    with Fence(tmp_path).guard(7):
        pass
    with pytest.raises(Fenced):
        Fence(tmp_path).claim(6)


def test_a_paused_holder_wakes_to_a_refusal(tmp_path, holder):
    """Stopped beyond its expiry and woken, it is refused at its next guard."""
    tell(holder, "go")
    assert [holder.stdout.readline() for _ in range(2)] == ["in\n", "out\n"]
    holder.send_signal(signal.SIGSTOP)
    Fence(tmp_path).claim(6)
    holder.send_signal(signal.SIGCONT)
    tell(holder, "go")
    assert holder.stdout.readline() == "fenced\n"


def test_a_holder_paused_inside_an_effect_is_named(tmp_path, holder):
    """Nobody enters while it is inside; the error names it; once it is gone the next one enters."""
    tell(holder, "stay")
    assert holder.stdout.readline() == "in\n"
    holder.send_signal(signal.SIGSTOP)
    fence = Fence(tmp_path, wait_s=0.05)
    with pytest.raises(Error, match=rf"holder on .* \(pid {holder.pid}\) has held"):
        fence.claim(6)
    holder.kill()
    holder.wait(10)
    Fence(tmp_path).claim(6)


def test_effects_of_two_threads_do_not_overlap(tmp_path):
    """The guard keeps threads of one process apart as well."""
    inside, overlaps = [], []

    def work():
        for _ in range(20):
            with Fence(tmp_path).guard(1):
                inside.append(1)
                overlaps.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert overlaps == [1] * 60


def test_an_error_inside_lets_go(tmp_path):
    """An effect that fails leaves the lock free."""
    with pytest.raises(RuntimeError), Fence(tmp_path).guard(1):
        raise RuntimeError
    Fence(tmp_path, wait_s=0).claim(2)


def test_children_do_not_inherit_the_lock(tmp_path):
    """What an effect starts does not keep the fence closed after it."""
    with Fence(tmp_path).guard(1):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True, close_fds=False)
    try:
        Fence(tmp_path, wait_s=5).claim(2)  # the kernel closes the child's copy a moment after it started
        assert child.poll() is None
    finally:
        child.communicate("\n", timeout=10)


@pytest.mark.parametrize("content", ["", "seven", "{}"], ids=["empty", "a word", "json"])
def test_a_damaged_number_is_said(tmp_path, content):
    """A file that holds no number is named with the way out, not read as zero."""
    (tmp_path / "fence").write_text(content)
    with pytest.raises(Error, match="does not hold a number") as caught:
        Fence(tmp_path).claim(1)
    assert str(tmp_path / "fence") in caught.value.hint


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    """A state folder that is a file is an error with its path."""
    (tmp_path / "state").write_text("")
    with pytest.raises(Error, match="cannot use"):
        Fence(tmp_path / "state").claim(1)
    assert os.path.isfile(tmp_path / "state")


def test_a_folder_that_only_holds_a_cache_was_never_claimed(tmp_path):
    """Looking at a plan fills a cache there; only a pass makes it a place where something runs."""
    (tmp_path / "cache").mkdir()
    assert not Fence(tmp_path).was_claimed()
    Fence(tmp_path).claim(3)
    assert Fence(tmp_path).was_claimed()
    assert not Fence(tmp_path / "nowhere").was_claimed()
