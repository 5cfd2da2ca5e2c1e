"""The lock on a file: who holds it, what a waiter is told, and what is left in the file."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading

import pytest
from mlrelease.errors import Error
from mlrelease.ledger.fence import Fence
from mlrelease.ledger.filelock import Busy, held, unusable
from mlrelease.targets.interface import Fenced


@pytest.fixture
def path(tmp_path):
    """A lock in a folder that does not exist yet."""
    return tmp_path / "state" / "x.lock"


def test_while_it_is_held_nobody_else_gets_it(path):
    """Not even this very process; afterwards anybody does."""
    with held(path, wait_s=0, name="one"), pytest.raises(Busy), held(path, wait_s=0, name="two"):
        pass
    with held(path, wait_s=0, name="two"):
        pass


def test_the_holder_signs_and_a_waiter_is_told(path):
    """Name, host and pid; how long; and what to do."""
    with held(path, wait_s=0, name="a rather long name of a holder"):
        pass
    with held(path, wait_s=0, name="gc"):
        signed = json.loads(path.read_text())
        assert signed == {"name": "gc", "host": socket.gethostname(), "pid": os.getpid()}, "nothing of the one before"
        with pytest.raises(Busy) as caught, held(path, wait_s=0.01, name="two"):
            pass
    assert caught.value.message == (f"gc on {socket.gethostname()} (pid {os.getpid()}) has held {path} for more than 0.01 s")
    assert caught.value.hint == "end that process if it hangs or is paused; the lock goes with it"
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"name": "x"}', b"\xff", b'"x"', b"x" * 5000],
    ids=["nothing yet", "torn", "a list", "null", "half of it", "not UTF-8", "a text", "too much"],
)
def test_a_holder_that_has_not_signed_is_another_process(path, content):
    """It took the lock this very moment, or is not of this program."""
    path.parent.mkdir()
    path.write_bytes(content)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Busy) as caught, held(path, wait_s=0, name="two"):
            pass
    assert caught.value.message == f"another process has held {path} for more than 0 s"
    assert path.read_bytes() == content, "who only waits writes nothing"


def test_a_waiter_gets_it_when_it_is_let_go(path):
    """Within the wait, without an error."""
    inside, waited = threading.Event(), threading.Event()

    def work():
        with held(path, wait_s=0, name="one"):
            inside.set()
            waited.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    waited.set()
    with held(path, wait_s=10, name="two"):
        assert json.loads(path.read_text())["name"] == "two"
    thread.join(10)


def test_no_descriptor_is_left_however_it_ends(path):
    """An agent takes it thousands of times a day."""

    def fail():
        with held(path, wait_s=0, name="one"):
            raise RuntimeError

    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with held(path, wait_s=0, name="one"), pytest.raises(Busy), held(path, wait_s=0, name="two"):
            pass
        with pytest.raises(RuntimeError):
            fail()
    assert len(os.listdir("/proc/self/fd")) == before


def test_only_the_owner_may_read_it(path):
    """It names processes of this host."""
    with held(path, wait_s=0, name="one"):
        pass
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("make", ["a folder in its place", "a file in its folder's place"])
def test_a_lock_that_cannot_be_had_at_all_is_no_waiting(path, make):
    """The place, the reason of the operating system, and the way out."""
    if make == "a folder in its place":
        path.mkdir(parents=True)
    else:
        path.parent.write_text("")
    with pytest.raises(Error) as caught, held(path, wait_s=60, name="one"):
        pass
    assert not isinstance(caught.value, Busy)
    assert caught.value.message.startswith(f"cannot use {path}: ")
    assert caught.value.hint == "see to the disk and to who owns that folder"


def test_the_words_for_a_full_disk(tmp_path):
    """All of them."""
    error = unusable(tmp_path, OSError(28, "No space left on device"))
    assert (error.message, error.where) == (f"cannot use {tmp_path}: No space left on device", str(tmp_path))


# -- the fence, which stands on it ----------------------------------------------------------------------------------------


def test_the_words_of_a_fenced_pass(tmp_path):
    """Which folder, which numbers, and that nothing is to be done."""
    Fence(tmp_path).claim(9)
    with pytest.raises(Fenced) as caught:
        Fence(tmp_path).claim(8)
    assert caught.value.message == f"a newer pass owns {tmp_path}: its number is 9, this one's is 8"
    assert caught.value.hint == "nothing to do: the newer pass goes on from what it finds"


def test_a_refused_pass_changes_nothing_and_lets_go(tmp_path):
    """The number stays that of the newer one, which gets in at once."""
    Fence(tmp_path).claim(9)
    with pytest.raises(Fenced), Fence(tmp_path).guard(3):
        raise AssertionError("it must not get in")
    assert Fence(tmp_path).highest() == 9
    Fence(tmp_path, wait_s=0).claim(9)


def test_the_same_number_is_not_written_again(tmp_path):
    """Every effect of a pass enters: none of them costs a disk flush."""
    Fence(tmp_path).claim(4)
    before = (tmp_path / "fence").stat().st_ino
    with Fence(tmp_path).guard(4):
        pass
    assert (tmp_path / "fence").stat().st_ino == before
    Fence(tmp_path).claim(5)
    assert (tmp_path / "fence").read_text() == "5\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fence", "fence.lock"]


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"\xff", "{path} does not hold a number", "remove it: rm {path}"),
        (b"1.5\n", "{path} does not hold a number", "remove it: rm {path}"),
        (b"9" * 5000, "{path} does not hold a number", "remove it: rm {path}"),
        (None, "cannot use {path}: Is a directory", "see to the disk and to who owns that folder"),
    ],
    ids=["not a text", "no whole number", "a number of thousands of digits", "a folder"],
)
def test_a_number_that_cannot_be_read_lets_nobody_in(tmp_path, content, message, hint):
    """Read as zero it would let a paused pass act."""
    path = tmp_path / "fence"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(Error) as caught, Fence(tmp_path).guard(10**6):
        raise AssertionError("it must not get in")
    assert caught.value.message == message.format(path=path)
    assert caught.value.hint == hint.format(path=path)
    assert Fence(tmp_path).was_claimed()


def test_what_a_kill_left_on_the_way_is_written_over(tmp_path):
    """One fixed temporary name, under the lock."""
    (tmp_path / "fence.tmp").write_text("99999")
    Fence(tmp_path).claim(2)
    assert Fence(tmp_path).highest() == 2
    assert not (tmp_path / "fence.tmp").exists()


def test_a_number_that_cannot_be_stored_keeps_the_effect_from_happening(tmp_path):
    """An older pass could get in behind it."""
    (tmp_path / "fence.tmp").mkdir()
    with pytest.raises(Error, match="cannot use"), Fence(tmp_path).guard(1):
        raise AssertionError("it must not get in")
    assert not Fence(tmp_path).was_claimed()


def test_a_folder_that_may_not_be_looked_into_counts_as_claimed(tmp_path):
    """Whoever acts then hears why."""
    (tmp_path / "file").write_text("")
    assert not Fence(tmp_path / "file").was_claimed(), "a file holds no fence"
    assert Fence(tmp_path / ("x" * 300)).was_claimed(), "a name that the disk refuses"
