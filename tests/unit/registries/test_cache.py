"""The artifact cache: complete or not there, verified, read-only, safe between processes and after a kill."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.registries.cache import ArtifactCache
from mlrelease.registries.digest import digest_of, manifest
from mlrelease.registries.interface import DigestMismatch
from support.fake_registry import FakeRegistry, pin_of

FILES = {"MLmodel": b"flavors: {}\n", "data/model.bin": b"weights"}


@pytest.fixture
def registry():
    """A registry with version 1 of `risk`."""
    registry = FakeRegistry()
    registry.add("risk", "1", FILES)
    return registry


@pytest.fixture
def facts(registry):
    return registry.facts["risk", "1"]


@pytest.fixture
def pin(tmp_path):
    """The pin of that version."""
    return pin_of("risk", "1", FILES, tmp_path / "scratch")


@pytest.fixture
def cache(tmp_path):
    return ArtifactCache(tmp_path / "state" / "cache")


def _names(cache):
    """What lies in the cache, without the empty marks of where it came from."""
    return sorted(p.name for p in cache.root.iterdir() if not p.name.startswith(".from-")) if cache.root.exists() else []


def test_what_was_fetched_is_found_by_its_digest(cache, registry, facts, pin):
    """Nothing first, then the same folder from every method, with the bytes of the registry."""
    assert cache.get(pin.digest) is None
    assert cache.verified(pin.digest) is None
    path = cache.ensure(pin, facts, registry)
    assert path == cache.get(pin.digest) == cache.verified(pin.digest) == cache.root / pin.digest.removeprefix("sha256:")
    assert (path / "data/model.bin").read_bytes() == b"weights"
    assert cache.fetch(facts, registry) == (pin.digest, path)
    assert _names(cache) == [path.name]


def test_asking_an_empty_cache_makes_no_folder(cache, pin):
    """A plan on a machine that never deployed leaves no trace."""
    assert cache.get(pin.digest) is None
    assert cache.prune(()) == ()
    assert not cache.root.exists()


def test_what_is_cached_is_not_downloaded_again(cache, registry, facts, pin):
    """The second time the registry may even be down."""
    cache.ensure(pin, facts, registry)
    registry.down = True
    cache.ensure(pin, facts, registry)
    assert registry.downloaded == [("risk", "1")]


def test_bytes_of_one_version_do_not_pass_for_those_of_another(cache, registry, facts, pin):
    """A pin that joins version 2 with the digest of version 1, which is cached: version 2 is looked at all the same."""
    cache.ensure(pin, facts, registry)
    mixed = type(pin)("risk", "2", pin.digest)
    assert (cache.came_from(pin), cache.came_from(mixed)) == (True, False)
    with pytest.raises(DigestMismatch):
        cache.ensure(mixed, registry.add("risk", "2", {"MLmodel": b"other"}), registry)
    assert cache.ensure(mixed, registry.add("risk", "2", FILES), registry) == cache.get(pin.digest)
    assert cache.came_from(mixed)
    cache.prune(())
    assert list(cache.root.iterdir()) == []


def test_other_bytes_than_the_pin_are_refused_and_leave_nothing(cache, registry, facts, pin):
    """The exception names both digests."""
    registry.add("risk", "1", FILES | {"data/model.bin": b"tampered"})
    with pytest.raises(DigestMismatch) as caught:
        cache.ensure(pin, facts, registry)
    assert caught.value.expected == pin.digest
    assert caught.value.found not in ("", pin.digest)
    assert _names(cache) == []


def test_a_download_that_breaks_leaves_nothing(cache, registry, facts, pin):
    """Neither an entry nor a temporary folder."""
    registry.down = True
    with pytest.raises(UnavailableError):
        cache.ensure(pin, facts, registry)
    assert _names(cache) == []


def test_entries_cannot_be_written(cache, registry, facts, pin):
    """Files 0444 and folders 0555: a server that runs as this user cannot change what was verified."""
    path = cache.ensure(pin, facts, registry)
    modes = {p.relative_to(path).as_posix(): stat.S_IMODE(p.stat().st_mode) for p in [path, *path.rglob("*")]}
    assert modes == {".": 0o555, "MLmodel": 0o444, "data": 0o555, "data/model.bin": 0o444}


def test_files_that_the_digest_leaves_out_are_not_stored(cache, registry, facts, pin):
    """Else a model could load bytes from a file that nobody hashes."""
    registry.add("risk", "1", FILES | {"registered_model_meta": b"evil", "data/registered_model_meta": b"evil"})
    path = cache.ensure(pin, facts, registry)
    assert sorted(p.name for p in path.rglob("*")) == ["MLmodel", "data", "model.bin"]


def _writable(path):
    for p in (path, path / "data", path / "data/model.bin"):
        p.chmod(0o700)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda p: (p / "data/model.bin").write_bytes(b"weighty"), id="changed file"),
        pytest.param(lambda p: (p / "data/model.bin").unlink(), id="missing file"),
        pytest.param(lambda p: (p / "more").write_bytes(b""), id="additional file"),
        pytest.param(lambda p: (p / "more").symlink_to("MLmodel"), id="symbolic link"),
        pytest.param(lambda p: (p / "registered_model_meta").write_bytes(b"x"), id="a file that the digest leaves out"),
    ],
)
def test_a_damaged_entry_is_moved_aside_and_downloaded_again(cache, registry, facts, pin, damage):
    """`verified` says None, the next `ensure` has the right bytes again, `prune` removes the remains."""
    path = cache.ensure(pin, facts, registry)
    _writable(path)
    damage(path)
    assert cache.verified(pin.digest) is None
    assert cache.get(pin.digest) is None
    assert [n for n in _names(cache) if n.startswith(".damaged-")]
    again = cache.ensure(pin, facts, registry)
    assert digest_of(manifest(again)) == pin.digest
    cache.prune([pin.digest])
    assert _names(cache) == [path.name]


def test_an_entry_that_cannot_be_read_just_now_stays(cache, registry, facts, pin):
    """Too many open files is no damage: moving a good entry aside could cost a rollback."""
    cache.ensure(pin, facts, registry)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    held = [os.dup(0) for _ in range(descriptors - len(os.listdir("/proc/self/fd")) + 1)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, limits[1]))
    try:
        with pytest.raises(Error, match=r"(?i)too many open files"):
            cache.verified(pin.digest)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in held:
            os.close(descriptor)
    assert cache.verified(pin.digest) is not None


def test_prune_removes_all_but_what_is_kept(cache, registry, facts, pin):
    """And returns the digests of what it removed; read-only folders go too."""
    cache.ensure(pin, facts, registry)
    other, _ = cache.fetch(registry.add("risk", "2", {"MLmodel": b"other"}), registry)
    assert cache.prune([pin.digest, "sha256:" + "0" * 64]) == (other,)
    assert cache.get(pin.digest) is not None
    assert _names(cache) == [pin.digest.removeprefix("sha256:")]


@pytest.mark.parametrize("digest", ["", "sha256:../../etc", "sha256:" + "A" * 64, "md5:" + "0" * 32], ids=repr)
def test_what_is_no_digest_names_no_folder(cache, digest):
    """A digest becomes a path: nothing else may."""
    with pytest.raises(Error, match="not a sha256 digest"):
        cache.get(digest)


def test_many_at_once_end_with_one_whole_entry(cache, registry, facts, pin):
    """Eight threads ensure the same pin while others fetch and sweep."""
    problems = []

    def work():
        try:
            for _ in range(3):
                assert cache.ensure(pin, facts, registry).is_dir()
                assert cache.fetch(facts, registry)[0] == pin.digest
                cache.prune([pin.digest])
        except BaseException as e:
            problems.append(e)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert cache.verified(pin.digest) is not None
    assert _names(cache) == [pin.digest.removeprefix("sha256:")]


def test_a_kill_midway_leaves_only_a_temporary_folder_that_the_next_call_sweeps(cache, registry, facts, pin, tmp_path):
    """A real process, killed by SIGKILL inside `download`; while it lives its folder is left alone."""
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from mlrelease.registries.cache import ArtifactCache
        from mlrelease.model.version import VersionFacts

        class Slow:
            where = ""
            def download(self, facts, into):
                (into / "sub").mkdir()
                (into / "sub" / "half").write_bytes(b"half")
                print("ready", flush=True)
                time.sleep(60)

        ArtifactCache(Path(sys.argv[1])).fetch(VersionFacts("risk", "1", "READY", ""), Slow())
        """
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(cache.root)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        (folder,) = cache.root.glob(".tmp-*")
        cache.ensure(pin, facts, registry)
        assert (folder / "sub/half").exists(), "the folder of a living process was swept"
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
        cache.fetch(facts, registry)
        assert not folder.exists()
    finally:
        child.kill()
        child.wait(10)
        child.stdout.close()
    assert _names(cache) == [pin.digest.removeprefix("sha256:")]


def test_a_cache_that_cannot_be_written_says_where(registry, facts, pin, tmp_path):
    """An `Error` with the folder, no traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Error, match="cannot write the artifact cache: not a directory") as caught:
        ArtifactCache(tmp_path / "file" / "cache").ensure(pin, facts, registry)
    assert str(tmp_path) in caught.value.where


def test_processes_race_for_one_entry(cache, registry, facts, pin):
    """An entry that appears while this process downloads the same is kept, and ours is dropped."""

    class Late(FakeRegistry):
        def download(self, facts, into):
            ArtifactCache(cache.root).ensure(pin, facts, registry)
            super().download(facts, into)

    late = Late()
    late.add("risk", "1", FILES)
    before = time.monotonic()
    path = cache.ensure(pin, facts, late)
    assert digest_of(manifest(path)) == pin.digest
    assert _names(cache) == [path.name]
    assert time.monotonic() - before < 30
