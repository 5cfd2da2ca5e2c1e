"""What may lie in a cache that others write, kill and damage: what counts, what is swept, what is left alone."""

from __future__ import annotations

import fcntl
import os
import stat
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.errors import Error
from mlrelease.registries.cache import ArtifactCache
from mlrelease.registries.interface import DigestMismatch
from support.fake_registry import FakeRegistry, pin_of

FILES = {"MLmodel": b"flavors: {}\n", "data/model.bin": b"weights"}
OTHER = {"MLmodel": b"other"}


@pytest.fixture
def registry():
    """Versions 1 and 3 of `risk` with the same files, version 2 with others."""
    registry = FakeRegistry()
    for number, files in (("1", FILES), ("2", OTHER), ("3", FILES)):
        registry.add("risk", number, files)
    return registry


@pytest.fixture
def cache(tmp_path):
    return ArtifactCache(tmp_path / "cache")


def fetched(cache, registry, *numbers):
    """The digests of these versions, fetched in this order."""
    return [cache.fetch(registry.facts["risk", number], registry)[0] for number in numbers]


def names(cache):
    return sorted(path.name for path in cache.root.iterdir())


def entries(cache):
    """The digests of the entries, without their times."""
    return sorted(cache.entries())


def test_entries_are_what_is_complete_and_when_the_registry_last_gave_it(cache, registry):
    """The mark of any version that came with these bytes counts, the latest of them."""
    first, other = fetched(cache, registry, "1", "2")
    marks = [path for path in cache.root.iterdir() if path.name.startswith(f".from-{first[7:]}")]
    os.utime(cache.root / first[7:], (100, 100))
    os.utime(marks[0], (50, 50))
    assert cache.entries()[first] == 100
    os.utime(marks[0], (200, 200))
    assert cache.entries()[first] == 200
    assert set(cache.entries()) == {first, other}


@pytest.mark.parametrize(
    "name",
    [
        *("a" * 63, "a" * 65, "A" * 64, "g" * 64, ".tmp-1234", ".damaged-aaaa-1", ".from-" + "a" * 64 + "-b", "lost+found"),
        *(".DS_Store", "a" * 64 + ".part"),
    ],
)
def test_a_folder_of_another_name_is_no_entry(cache, name):
    """And none of these is taken for one by anybody who asks."""
    (cache.root / name).mkdir(parents=True)
    assert cache.entries() == {}


def test_an_empty_cache_has_nothing(cache):
    """Nor does it make its folder."""
    assert (cache.entries(), cache.litter(), cache.prune([])) == ({}, (), ())
    assert not cache.root.exists()


def test_a_link_in_an_entrys_place_is_no_entry(cache, registry, tmp_path):
    """What it points at can be changed by anybody who owns that."""
    (digest,) = fetched(cache, registry, "1")
    (cache.root / digest[7:]).rename(tmp_path / "elsewhere")
    (cache.root / digest[7:]).symlink_to(tmp_path / "elsewhere")
    assert cache.get(digest) is None
    assert cache.verified(digest) is None


def test_a_file_in_an_entrys_place_is_an_error_with_its_place(cache, registry, tmp_path):
    """Nobody put it there by way of the cache: nothing is removed."""
    pin = pin_of("risk", "1", FILES, tmp_path / "scratch")
    cache.root.mkdir()
    place = cache.root / pin.digest[7:]
    place.write_text("mine")
    with pytest.raises(Error) as caught:
        cache.ensure(pin, registry.facts["risk", "1"], registry)
    assert caught.value.message.startswith("cannot write the artifact cache: ")
    assert (caught.value.hint, caught.value.where) == ("check the free space and the owner of this folder", str(place))
    assert place.read_text() == "mine"
    assert names(cache) == [place.name]


def litter(cache, name, *, holds=False):
    """A folder with a read-only part, as a killed download or a damaged entry leaves it; its lock if one `holds` it."""
    folder = cache.root / name
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "half").write_bytes(b"half")
    (folder / "sub" / "half").chmod(0o444)
    (folder / "sub").chmod(0o555)
    if not holds:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def test_litter_is_what_nobody_works_on(cache, registry):
    """Unfinished downloads and damaged entries; a folder that somebody has locked is theirs."""
    fetched(cache, registry, "1")
    litter(cache, ".tmp-dead")
    litter(cache, ".damaged-aaaa-1")
    held = litter(cache, ".tmp-alive", holds=True)
    assert [path.name for path in cache.litter()] == [".damaged-aaaa-1", ".tmp-dead"]
    assert [path.name for path in cache.litter()] == [".damaged-aaaa-1", ".tmp-dead"], "looking takes nobody's lock"
    os.close(held)
    assert sorted(path.name for path in cache.litter()) == [".damaged-aaaa-1", ".tmp-alive", ".tmp-dead"]


def test_a_download_sweeps_what_is_dead_and_leaves_what_lives(cache, registry):
    """Damaged entries stay for somebody to look at, until the cache is pruned."""
    litter(cache, ".tmp-dead")
    litter(cache, ".damaged-aaaa-1")
    held = litter(cache, ".tmp-alive", holds=True)
    (digest,) = fetched(cache, registry, "1")
    assert [name for name in names(cache) if not name.startswith(".from-")] == [".damaged-aaaa-1", ".tmp-alive", digest[7:]]
    assert cache.prune([digest]) == ()
    assert (cache.root / ".tmp-alive" / "sub" / "half").read_bytes() == b"half"
    assert not (cache.root / ".damaged-aaaa-1").exists()
    os.close(held)
    cache.prune([digest])
    assert [name for name in names(cache) if not name.startswith(".from-")] == [digest[7:]]


def test_a_link_called_like_an_unfinished_download_is_not_followed(cache, registry, tmp_path):
    """Sweeping removes nothing behind it."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    cache.root.mkdir()
    (cache.root / ".tmp-link").symlink_to(tmp_path / "precious")
    fetched(cache, registry, "1")
    cache.prune([])
    assert (tmp_path / "precious" / "file").read_text() == "mine"


def test_pruning_forgets_where_bytes_came_from_only_with_the_bytes(cache, registry, tmp_path):
    """A kept entry keeps its marks: else the next pass would download it again."""
    first, other = fetched(cache, registry, "1", "2")
    assert cache.prune([first, first]) == (other,)
    assert cache.came_from(pin_of("risk", "1", FILES, tmp_path / "a"))
    assert not cache.came_from(pin_of("risk", "2", OTHER, tmp_path / "b"))
    assert cache.prune([first]) == ()
    assert cache.prune([]) == (first,)
    assert names(cache) == []


def test_what_is_to_be_kept_must_be_a_digest(cache, registry):
    """Else a slip of the pen would remove what was meant to stay; nothing is removed before it is found."""
    (digest,) = fetched(cache, registry, "1")
    with pytest.raises(Error, match="'sha256:short' is not a sha256 digest") as caught:
        cache.prune([digest, "sha256:short"])
    assert caught.value.hint == "sha256: followed by 64 lower-case hex digits"
    assert entries(cache) == [digest]


STEPS = st.lists(
    st.sampled_from(["fetch 1", "fetch 2", "fetch 3", "prune all", "prune others", "damage", "kill", "verify"]), max_size=7
)


@settings(max_examples=12, deadline=None)
@given(STEPS)
def test_whatever_happens_an_entry_is_whole_or_not_there(tmp_path_factory, steps):
    """After any steps: what `verified` gives has the right bytes, and pruning everything leaves nothing."""
    home = tmp_path_factory.mktemp("cache")
    registry, cache = FakeRegistry(), ArtifactCache(home / "cache")
    for number, files in (("1", FILES), ("2", OTHER), ("3", FILES)):
        registry.add("risk", number, files)
    pin = pin_of("risk", "1", FILES, home / "scratch")
    for step in steps:
        match step.split():
            case ["fetch", number]:
                cache.fetch(registry.facts["risk", number], registry)
            case ["prune", what]:
                cache.prune([] if what == "all" else [pin.digest])
            case ["damage"] if (path := cache.get(pin.digest)) is not None:
                (path / "MLmodel").chmod(0o600)
                (path / "MLmodel").write_bytes(b"damaged")
            case ["kill"]:
                litter(cache, f".tmp-{len(os.listdir(home))}{os.urandom(4).hex()}")
            case _:
                cache.verified(pin.digest)
        path = cache.verified(pin.digest)
        assert path is None or (path / "data/model.bin").read_bytes() == b"weights"
    cache.prune([])
    assert not cache.root.exists() or names(cache) == []


def test_two_that_find_an_entry_damaged_move_it_once(cache, registry):
    """Whoever comes second finds it gone, which is what it wanted."""
    (digest,) = fetched(cache, registry, "1")
    path = cache.get(digest)
    path.chmod(0o755)
    (path / "more").write_bytes(b"")
    found = []
    threads = [threading.Thread(target=lambda: found.append(cache.verified(digest))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [None] * 6
    assert len([name for name in names(cache) if name.startswith(".damaged-")]) == 1
    assert fetched(cache, registry, "1") == [digest]


def test_a_damaged_entry_is_replaced_by_who_publishes_the_same(cache, registry):
    """`fetch` does not look before: it finds the damage when it puts its own in place."""
    (digest,) = fetched(cache, registry, "1")
    path = cache.get(digest)
    (path / "MLmodel").chmod(0o600)
    (path / "MLmodel").write_bytes(b"damaged")
    assert fetched(cache, registry, "3") == [digest]
    assert cache.verified(digest) == path
    assert (path / "MLmodel").read_bytes() == FILES["MLmodel"]


class Failing(FakeRegistry):
    """Writes half a version, some of it read-only, and fails."""

    def download(self, facts, into):
        super().download(facts, into)
        (into / "data").chmod(0o500)
        raise RuntimeError("half-way")


def test_a_download_that_fails_in_any_way_leaves_nothing(cache, registry):
    """Not only with the errors that are expected; read-only folders go too."""
    failing = Failing(contents=registry.contents, facts=registry.facts)
    with pytest.raises(RuntimeError, match="half-way"):
        cache.fetch(registry.facts["risk", "1"], failing)
    assert names(cache) == []


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        pytest.param(lambda into: (into / "link").symlink_to("MLmodel"), "is a symbolic link", id="a link"),
        pytest.param(lambda into: os.mkfifo(into / "pipe"), "is neither file nor folder", id="a pipe"),
        pytest.param(lambda into: [p.unlink() for p in into.rglob("*") if p.is_file()], "no model files", id="no file"),
        pytest.param(
            lambda into: (into / "MLmodel").rename(into / "registered_model_meta"),
            "expected sha256:",
            id="its file under another name",
        ),
    ],
)
def test_a_download_that_makes_no_version_leaves_nothing(cache, registry, tmp_path, spoil, text):
    """Refused before it could be loaded from."""

    class Odd(FakeRegistry):
        def download(self, facts, into):
            super().download(facts, into)
            spoil(into)

    pin = pin_of("risk", "1", FILES, tmp_path / "scratch")
    with pytest.raises((Error, DigestMismatch), match=text):
        cache.ensure(pin, registry.facts["risk", "1"], Odd(contents=registry.contents, facts=registry.facts))
    assert names(cache) == []
    assert not cache.came_from(pin)


def test_the_folder_of_the_cache_is_its_owners_alone(cache, registry):
    """Models may be confidential."""
    fetched(cache, registry, "1")
    assert stat.S_IMODE(cache.root.stat().st_mode) == 0o700


def test_marks_of_where_bytes_came_from_tell_names_and_versions_apart(cache, registry, tmp_path):
    """`a` version 11 is not `a1` version 1, and no name needs to be one of a file."""
    digest = pin_of("a", "1", FILES, tmp_path / "scratch").digest
    kind = type(pin_of("a", "1", FILES, tmp_path / "scratch"))
    pins = [kind(*pair, digest) for pair in (("a", "11"), ("a1", "1"), ("a/b", "1"), ("..", "1"), ("a\n", "1"), ("", "1"))]
    for done, pin in enumerate(pins):
        assert [cache.came_from(one) for one in pins] == [True] * done + [False] * (len(pins) - done)
        cache.fetch(registry.add(pin.name, pin.version, FILES), registry)
    assert len(names(cache)) == 1 + len(pins)
