"""`gc`: what is removed, above all what is not, who is waited for, and what is said."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from mlrelease.commands.gc import GcOptions, gc, in_words
from mlrelease.commands.workspace import Workspace, cache_folder
from mlrelease.delivery.agent import ownership
from mlrelease.delivery.garbage import FRESH_S, size_of
from mlrelease.delivery.site import KEEP_BUNDLES, Site
from mlrelease.delivery.source import Tracked
from mlrelease.errors import UsageError
from mlrelease.forge.git import Git
from mlrelease.ledger.lock import this_owner
from mlrelease.model.event import DeployStarted, Owner
from mlrelease.model.live import Role
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.registries.cache import ArtifactCache
from support.newcomer import as_json, golden, text
from support.world import World, git

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Host(Workspace):
    """The world's host: its site is over the fakes, its clock is the test's."""

    world: World = None

    @property
    def now(self) -> Callable[[], float]:
        return lambda: self.world.clock

    def site(self, environment: EnvironmentSpec) -> Site:
        return replace(self.world.site(), environment=environment)


@pytest.fixture
def world(tmp_path):
    """Version 1 deployed, an hour ago."""
    made = World(tmp_path / "w").create()
    made.run()
    made.clock += 3600
    return made


def host(world):
    variables = {"XDG_CACHE_HOME": str(world.root / "xdg")}
    return Host(Git(world.host), Tracked("origin", "main"), "Test", "run", variables, world)


def collect(world, *names, **options):
    return gc(host(world), names, GcOptions(**{"lock_timeout_s": 0.3} | options))


def found(report):
    """What was freed or failed, by place and kind, without the digests."""
    return {(row[0], row[1]): (int(row[2]), row[4]) for row in report.rows}


def cached(world):
    return {str(d) for d in ArtifactCache(world.root / "state" / "cache").entries()}


def deploy(world, *versions):
    """One verified bundle after the other, an hour apart."""
    for version in versions:
        world.bump("wine", version)
        world.run()
        world.clock += 3600


def file(path, data=b"x", *, at):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (at, at))
    return path


def unneeded(world, number="99", files=None):
    """A version in the host's cache that nobody pinned, fetched an hour ago."""
    facts = world.registry.add("wine", number, files or {"model.bin": f"wine {number}".encode() * 100})
    digest, _ = world.site().cache.fetch(facts, world.registry)
    for path in (world.root / "state" / "cache").iterdir():
        os.utime(path, (world.clock - 3600, world.clock - 3600))
    return digest


# -- what goes ---------------------------------------------------------------------------------------------------------


def test_the_report_in_full(world, capsys, update_golden):
    """Every kind with its bytes; what stays is not spoken of."""
    digest = unneeded(world)
    state = world.root / "state"
    old = world.clock - 2 * DAY
    file(state / "golden" / f"{digest[7:]}.json", b"{}" * 50, at=old)
    file(state / "reports" / f"scan-{digest[7:]}-0123abcd.json", b"{}" * 25, at=old)
    file(state / "requests" / "01X.json", b"{}", at=old)
    file(state / "answers" / "01Y.json", b"{}", at=old)
    file(state / "tmp" / "cds.json.0a1b2c3d", b"half", at=old)
    (state / "cache" / ".tmp-0123").mkdir()
    file(state / "cache" / ".tmp-0123" / "model.bin", b"half a model", at=old)
    for number in range(23):
        file(state / "logs" / f"wine-abc-{number}.log", b"line\n" * number, at=old + number)
    dry = text(collect(world, dry_run=True), capsys)
    done = text(collect(world), capsys)
    again = text(collect(world), capsys)
    told = f"# dry run\n{dry}\n# for good\n{done}\n# again\n{again}"
    golden("gc/report.txt", told, update=update_golden)


def test_the_json_names_every_item(world, capsys):
    """With stable keys; nothing a program would have to guess."""
    digest = unneeded(world)
    report = as_json(collect(world), capsys)
    assert {key: report[key] for key in ("dry_run", "freed_bytes", "exit_code")} == {
        "dry_run": False,
        "freed_bytes": 700,
        "exit_code": 0,
    }
    assert report["places"] == [
        {"where": "production", "kind": "artifacts", "items": [digest], "bytes": 700, "reason": "", "error": ""}
    ]


def test_a_dry_run_removes_nothing(world):
    """It says the same and touches no byte."""
    unneeded(world)
    before = sorted((p, p.lstat().st_mtime) for p in (world.root / "state").rglob("*"))
    report = collect(world, dry_run=True)
    assert found(report) == {("production", "artifacts"): (1, "not needed any more")}
    assert sorted((p, p.lstat().st_mtime) for p in (world.root / "state").rglob("*")) == before
    assert report.next == "mlrelease gc production"


def test_warm_instances_past_their_time_end(world):
    """The bundle before was kept for going back; its time is over."""
    world.bump("wine", "2")
    world.run()
    world.clock += 601
    assert found(collect(world)) == {("production", "warm instances"): (2, "not needed any more")}
    assert {i.role for i in world.target.instances.values()} == {Role.ACTIVE}
    assert world.live() == {"wine": "2"}


# -- what stays --------------------------------------------------------------------------------------------------------


def test_rollback_targets_stay(world):
    """The last verified bundles can be gone back to without MLflow; older ones go."""
    deploy(world, *map(str, range(2, KEEP_BUNDLES + 4)))
    for version in range(1, KEEP_BUNDLES + 4):
        facts = world.registry.facts["wine", str(version)]
        world.site().cache.fetch(facts, world.registry)
    assert len(cached(world)) == KEEP_BUNDLES + 3
    collect(world)
    kept = {str(world.pins["wine", str(v)].digest) for v in range(4, KEEP_BUNDLES + 4)}
    assert cached(world) == kept
    world.registry.down = True
    git(world.laptop, "revert", "--no-edit", "HEAD")
    git(world.laptop, "push", "--quiet", "origin", "main")
    assert world.run().receipts["wine"].outcome.value == "succeeded"


def test_what_git_wants_stays_though_nobody_deployed_it_yet(world):
    """A pass may be about to start it."""
    pin = world.pin("wine", "2")
    world.site().cache.fetch(world.registry.facts["wine", "2"], world.registry)
    world.bump("wine", "2")
    collect(world)
    assert str(pin.digest) in cached(world)


def test_what_an_instance_is_started_with_stays(world):
    """Whatever the ledger says: it is in a configuration on this host."""
    digest = unneeded(world)
    file(world.root / "state/configs/wine-abc-1.json", json.dumps({"models": [{"digest": digest}]}).encode(), at=world.clock)
    assert found(collect(world)) == {}
    assert str(digest) in cached(world)


def test_what_was_fetched_a_moment_ago_stays(world):
    """It may belong to a commit that was pushed after we looked."""
    digest = unneeded(world)
    for path in (world.root / "state" / "cache").iterdir():
        os.utime(path, (world.clock - FRESH_S / 2,) * 2)
    assert found(collect(world)) == {("production", "artifacts"): (0, "1 fetched in the last 15 min")}
    assert str(digest) in cached(world)


def test_a_download_under_way_stays(world):
    """Its folder is locked by who writes it."""
    folder = world.root / "state" / "cache" / ".tmp-0123"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert found(collect(world)) == {}
        assert folder.is_dir()
    finally:
        os.close(descriptor)
    assert found(collect(world)) == {("production", "partial downloads"): (1, "not needed any more")}
    assert not folder.exists()


def test_the_ledger_and_its_spool_are_not_touched(world):
    """Events that wait for the git host are on no other disk; the chain has the same tip after."""
    spooled = file(world.root / "state/spool/01ABC.json", b"{}", at=world.clock - 90 * DAY)
    spooled.rename(aside := spooled.with_suffix(".damaged"))
    waiting = file(world.root / "state/spool/blobs/golden/x.json", b"{}", at=world.clock - 90 * DAY)
    before = git(world.root / "origin.git", "rev-parse", "mlrelease/ledger")
    report = collect(world)
    assert aside.exists()
    assert waiting.exists()
    assert git(world.root / "origin.git", "rev-parse", "mlrelease/ledger") == before
    assert report.notes == ["the ledger is append-only: nothing of it is removed"]


@pytest.mark.parametrize(
    "name",
    [
        "fence",
        "fence.lock",
        "routes.json",
        "instances/wine-1.json",
        "s/v1",
        "xds/cds.json",
        "golden/readme.txt",
        "reports/readme.txt",
        "notes.txt",
    ],
)
def test_files_of_the_state_folder_stay(world, name):
    """However old: only what is known to be a leftover goes."""
    data = b"1" if name == "fence" else b"{}"
    record = {"id": "wine-1", "service": "wine", "bundle": "b", "socket": "", "config": "", "launch": ""}
    if name.startswith("instances"):
        data = json.dumps(record | {"generation": 1, "created_at": 0.0}).encode()
    if name == "fence":
        data = b"0"
    path = file(world.root / "state" / name, data, at=world.clock - 900 * DAY)
    collect(world)
    assert path.read_bytes().startswith(data[:1]) or name == "fence.lock"


# -- the person's cache ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_days", "days", "stays"),
    [(31, 30, False), (29, 30, True), (1, 0, False), (400, 500, True)],
    ids=["older than a month", "younger", "everything asked for", "kept longer than usual"],
)
def test_the_users_cache_goes_by_age(world, age_days, days, stays):
    """By when a verb last asked for the version."""
    cache = ArtifactCache(cache_folder(host(world).variables))
    digest, _ = cache.fetch(world.registry.add("risk", "1", {"f": b"1234"}), world.registry)
    for path in cache.root.iterdir():
        os.utime(path, (world.clock - age_days * DAY,) * 2)
    report = collect(world, days=days)
    assert (cache.get(digest) is not None) is stays
    assert found(report) == ({} if stays else {("user cache", "artifacts"): (1, "not needed any more")})
    assert report.data["freed_bytes"] == (0 if stays else 4)


# -- who is at work ----------------------------------------------------------------------------------------------------


def test_an_agent_at_work_is_left_alone(world):
    """It would not know what was taken away under it; the rest of the work is done all the same."""
    digest = unneeded(world)
    cache = ArtifactCache(cache_folder(host(world).variables))
    old, _ = cache.fetch(world.registry.add("risk", "1", {"f": b"1"}), world.registry)
    with ownership(world.root / "state") as mine:
        assert mine
        report = collect(world, days=0)
    assert report.exit_code == 1
    assert found(report)["production", "everything"][1].startswith(f"an agent (pid {os.getpid()}) is at work")
    assert str(digest) in cached(world)
    assert cache.get(old) is None


def test_a_dry_run_may_look_while_an_agent_works(world):
    """It changes nothing."""
    unneeded(world)
    with ownership(world.root / "state"):
        assert found(collect(world, dry_run=True)) == {("production", "artifacts"): (1, "not needed any more")}


def start(world, owner, *, expires_in=900.0):
    started = DeployStarted(
        id=world.ids(),
        environment="production",
        at=world.clock,
        actor="ann",
        revision="a" * 40,
        trigger="deploy",
        owner=owner,
        expires_at=world.clock + expires_in,
    )
    world.site().ledger.append([started])


def test_a_pass_under_way_is_waited_for_and_named(world):
    """After the wait: exit 1, and who holds it."""
    digest = unneeded(world)
    start(world, this_owner("mlrelease deploy"))
    report = collect(world)
    assert report.exit_code == 1
    assert "is locked by" in found(report)["production", "everything"][1]
    assert str(digest) in cached(world)


@pytest.mark.parametrize(
    ("owner", "expires_in"),
    [(Owner("elsewhere", 1, 1.0), -1.0), (replace(this_owner(), pid=2**22 - 1), 900.0)],
    ids=["expired", "its process is dead"],
)
def test_a_pass_that_ended_without_a_word_holds_nobody_up(world, owner, expires_in):
    """As for the next pass."""
    digest = unneeded(world)
    start(world, owner, expires_in=expires_in)
    assert collect(world).exit_code == 0
    assert str(digest) not in cached(world)


def test_the_fence_is_held_while_files_are_removed(world):
    """Whoever starts an instance meanwhile keeps us out, and is named."""
    digest = unneeded(world)
    lock = world.root / "state" / "fence.lock"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import fcntl; f=open({str(lock)!r},'a'); fcntl.flock(f,2); print('x',flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        holder.stdout.readline()
        report = collect(world)
    finally:
        holder.communicate(b"\n")
    assert report.exit_code == 1
    assert "has held" in found(report)["production", "artifacts"][1]
    assert str(digest) in cached(world)
    assert collect(world).exit_code == 0


# -- broken worlds -----------------------------------------------------------------------------------------------------


def test_while_the_git_host_is_away_nothing_is_called_unneeded(world):
    """What it wants now is not known: leftovers go, artifacts stay."""
    digest = unneeded(world)
    leftover = file(world.root / "state/requests/01X.json", b"{}", at=world.clock - DAY)
    (world.root / "origin.git").rename(world.root / "away.git")
    report = collect(world)
    assert found(report)["production", "artifacts"] == (0, "git host or ledger not known as of now")
    assert str(digest) in cached(world)
    assert not leftover.exists()


def test_a_broken_ledger_frees_no_artifact(world):
    """Rollback targets are only known from a history that holds."""
    digest = unneeded(world)
    clone = world.root / "tamper"
    git(world.root, "clone", "--quiet", "--branch", "mlrelease/ledger", "origin.git", "tamper")
    first = min((clone / "production/events").iterdir())
    first.write_text(re.sub(r'"actor": *"[^"]*"', '"actor": "mallory"', first.read_text()))
    git(clone, "commit", "--quiet", "-am", "tamper")
    git(clone, "push", "--quiet", "origin", "HEAD")
    collect(world)
    assert str(digest) in cached(world)


def test_an_invalid_service_keeps_its_artifacts(world):
    """Its pin cannot be read just now, and that must not cost its bytes."""
    digest = unneeded(world)
    path = world.model_file("wine")
    path.write_text(path.read_text() + "colour: red\n")
    world.commit("Break it")
    report = collect(world)
    assert str(digest) in cached(world)
    assert found(report)["production", "artifacts"][0] == 0


def test_an_environment_with_findings_is_left(world):
    """Exit 1 with the reason; asked for by name it is exit 4."""
    path = world.laptop / "environments/production/environment.yaml"
    path.write_text(path.read_text() + "keep_warm: 1h\n")
    world.commit("Break it")
    with pytest.raises(Exception, match="production cannot be read"):
        collect(world, "production")


@pytest.mark.parametrize("name", ["nowhere", "../production", "", "."])
def test_wrong_names_are_refused(world, name):
    """Before anything is removed."""
    unneeded(world)
    with pytest.raises(UsageError, match="no environment"):
        collect(world, name)
    assert len(cached(world)) == 2


@pytest.mark.parametrize("names", [("production", "nowhere"), ("nowhere", "production")], ids=["last", "first"])
def test_one_wrong_name_among_good_ones_removes_nothing(world, names):
    """Wherever it stands: half of the work without a report would be worse than none."""
    unneeded(world)
    with pytest.raises(UsageError, match="there is no environment 'nowhere'"):
        collect(world, *names)
    assert len(cached(world)) == 2


def test_an_environment_that_does_not_run_here_is_said(world):
    """A laptop has no state folder of it, and gets none."""
    away = world.root / "elsewhere"

    @dataclass(frozen=True, slots=True)
    class Laptop(Host):
        def site(self, environment):
            return replace(self.world.site(), state_dir=away)

    here = host(world)
    laptop = Laptop(here.git, here.branch, here.actor, here.run_id, here.variables, world)
    report = gc(laptop, (), GcOptions())
    assert found(report) == {("production", "everything"): (0, f"does not run on this host (no {away})")}
    assert (report.exit_code, report.verdict, away.exists()) == (0, "nothing to free", False)


def test_one_kind_that_fails_does_not_keep_the_next(world):
    """A cache that cannot be read is three lines; the other leftovers go, and the next run does the rest."""
    digest = unneeded(world)
    leftover = file(world.root / "state/requests/01X.json", b"{}", at=world.clock - DAY)
    cache = world.root / "state" / "cache"
    cache.rename(world.root / "moved")
    cache.write_text("not a folder")
    report = collect(world)
    assert (report.exit_code, report.verdict) == (1, "2 B freed of 1 items, 2 not done")
    for kind in ("partial downloads", "artifacts"):
        assert found(report)["production", kind] == (0, "cannot write the artifact cache: not a directory")
    assert not leftover.exists()
    cache.unlink()
    (world.root / "moved").rename(cache)
    assert collect(world).exit_code == 0
    assert str(digest) not in cached(world)


def test_a_kill_halfway_is_gone_on_from(world):
    """The entry was taken out of sight, not yet removed: the next run finds a temporary folder of nobody."""
    digest = unneeded(world)
    cache = world.root / "state" / "cache"
    (cache / digest[7:]).rename(cache / ".tmp-dead")
    report = collect(world)
    assert found(report)["production", "partial downloads"][0] == 1
    assert [path.name[:5] for path in cache.iterdir()].count(".tmp-") == 0


def test_links_are_not_followed(world, tmp_path):
    """Sizes and removals end at the link."""
    outside = file(tmp_path / "outside", b"12345", at=world.clock)
    link = world.root / "state/requests/01X.json"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    os.utime(link, (world.clock - DAY,) * 2, follow_symlinks=False)
    collect(world)
    assert outside.read_bytes() == b"12345"
    assert not link.is_symlink()


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (5e9, "5.0 GB"), (7.25e12, "7.2 TB")],
)
def test_bytes_in_words(size, words):
    """Three digits are enough for people; the JSON has the number."""
    assert in_words(size) == words


def test_the_size_of_what_is_gone_is_nothing(tmp_path):
    """A file may go between the look and the count."""
    assert size_of(tmp_path / "none") == 0
    file(tmp_path / "a/b/c", b"123", at=1)
    (tmp_path / "a/loop").symlink_to(tmp_path)
    assert size_of(tmp_path / "a") == 3
    assert size_of(tmp_path / "a/loop") == len(str(tmp_path))


@pytest.mark.parametrize(
    ("whose", "age", "stays"),
    [("recorded", 90 * DAY, True), ("nobody's", 90 * DAY, False), ("nobody's", FRESH_S / 2, True)],
    ids=["of what is recorded", "of what nobody needs", "of what a pass may just have looked at"],
)
def test_a_gates_report_goes_with_its_version(world, whose, age, stays):
    """Reports of scans and smoke tests live as long as the version that they speak of is needed here."""
    digest = world.pin("wine", "1").digest if whose == "recorded" else f"sha256:{'e' * 64}"
    reports = [
        file(world.root / "state/reports" / f"{kind}-{digest[7:]}-0123abcd.json", b"{}", at=world.clock - age)
        for kind in ("scan", "smoke")
    ]
    collect(world)
    assert [path.exists() for path in reports] == [stays, stays]
