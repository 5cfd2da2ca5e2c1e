"""What of a state folder nobody needs: name by name, to the second, and above all what stays."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from mlrelease.deadlines import DEADLINES_S
from mlrelease.delivery.artifacts import needed
from mlrelease.delivery.garbage import FRESH_S, of_site, of_user_cache, size_of
from mlrelease.delivery.site import KEEP_BUNDLES
from mlrelease.errors import Error
from mlrelease.history.fold import fold
from mlrelease.ledger import spool as spools
from mlrelease.ledger.spool import Spool
from mlrelease.model.live import Role
from support import core
from support.place import Place

KINDS = [
    "partial downloads",
    "artifacts",
    "golden predictions",
    "gate reports",
    "warm instances",
    "logs",
    "temporary files",
    "agent messages",
    "old supervisors",
]
HANGING = ("artifacts", "golden predictions", "gate reports", "warm instances")
D = "d" * 64


def found(place, *, known=True, **changes):
    """Each kind of garbage of the place by name."""
    return {one.kind: one for one in of_site(replace(place.site(), **changes), place.history(), known=known)}


def items(place, kind, **options):
    return [name for name, _ in found(place, **options)[kind].items]


def put(place, name, *, age_s=1e6, data=b"12345"):
    """A file in the state folder, of this age."""
    path = place.root / "state" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (place.clock - age_s,) * 2)
    return path


def test_every_kind_is_looked_at_in_order(place):
    """An empty place has none of any; nothing of it is a problem, nothing is made by looking."""
    kinds = list(of_site(place.site(), place.history(), known=True))
    assert [one.kind for one in kinds] == KINDS
    assert [(one.items, one.size, one.kept, one.problem) for one in kinds] == [((), 0, "", "")] * len(KINDS)
    assert [one.kind for one in kinds if one.takes_fence] == ["warm instances"]
    assert not (place.root / "state").exists()


def test_what_is_not_known_now_frees_nothing_that_hangs_on_it(running):
    """Git host or ledger away: leftovers may go, versions and warm instances stay, and it is said why."""
    running.target.instances["wine-1"] = replace(running.target.instances["wine-1"], role=Role.WARM, until=1.0)
    put(running, f"golden/{D}.json")
    put(running, ".x.json.12345678")
    kinds = found(running, known=False)
    for kind in HANGING:
        assert (kinds[kind].items, kinds[kind].kept) == ((), "git host or ledger not known as of now")
        kinds[kind].remove()
    assert [name for name, _ in kinds["temporary files"].items] == [".x.json.12345678"]
    assert "wine-1" in running.target.instances


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        (".aliases.json.0123abcd", True),
        ("golden/.x.json.0123abcd", True),
        ("tmp/listener.0123abcd", True),
        ("requests/.01A.json.0123abcd", True),
        ("answers/.01A.json.0123abcd", True),
        ("reports/.scan-x.json.0123abcd", True),
        ("notices/open/.x.json.0123abcd", True),
        ("notices/out/.x.json.0123abcd", True),
        ("spool/.01J00000000000000000000000.json.4242", True),
        ("spool/blobs/golden/.sha256-ab.json.4242", True),
        ("spool/blobs/manifests/.sha256-ab.json.4242", True),
        ("spool/01J00000000000000000000000.json", False),
        ("spool/01J00000000000000000000000.damaged", False),
        ("spool/blobs/golden/sha256-ab.json", False),
        ("notices/open/production~wine~0123abcd.json", False),
        ("notices/out/001-x-failed@webhook.json", False),
        ("aliases.json", False),
        ("fence", False),
        ("fence.lock", False),
        ("agent.lock", False),
        ("instances/.x.json.0123abcd", False),
        ("logs/wine.log.0123abcd", False),
    ],
)
def test_only_files_on_their_way_into_place_are_temporary(place, name, goes):
    """What a kill left beside goes; what waits, or is the state itself, stays however old it is."""
    path = put(place, name)
    one = found(place)["temporary files"]
    assert one.items == (((path.name, 5),) if goes else ())
    one.remove()
    assert path.exists() is not goes
    one.remove()  # done again after a kill: no error


def test_a_kill_while_a_golden_is_spooled_leaves_what_gc_knows(place, monkeypatch):
    """The very name that the spool writes to on its way."""
    monkeypatch.setattr(spools, "_write", lambda path, data: put(place, f"spool/blobs/golden/.{path.name}.{os.getpid()}"))
    Spool(place.root / "state" / "spool").add([], {"golden/sha256-ab.json": b"{}"}, place.clock)
    assert items(place, "temporary files") == [f".sha256-ab.json.{os.getpid()}"]


@pytest.mark.parametrize(
    ("kind", "name", "limit"),
    [
        ("temporary files", ".x.json.0123abcd", FRESH_S),
        ("golden predictions", f"golden/{D}.json", FRESH_S),
        ("gate reports", f"reports/scan-{D}-0123abcd.json", FRESH_S),
        ("gate reports", f"reports/smoke-{D}-0123abcd.json", FRESH_S),
        ("agent messages", "requests/01A.json", DEADLINES_S["agent.answer"]),
        ("agent messages", "answers/01A.json", DEADLINES_S["agent.answer"]),
    ],
)
def test_what_may_belong_to_work_under_way_stays(place, kind, name, limit):
    """Up to the longest that this work takes, to the second; then it goes."""
    path = put(place, name, age_s=limit)
    assert items(place, kind) == []
    os.utime(path, (place.clock - limit - 1,) * 2)
    assert items(place, kind) == [path.name]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("golden predictions", "golden/notes.json"),
        ("golden predictions", f"golden/{D}.txt"),
        ("golden predictions", f"golden/{D[:-1]}.json"),
        ("golden predictions", f"golden/{D.upper()}.json"),
        ("gate reports", f"reports/audit-{D}-0123abcd.json"),
        ("gate reports", f"reports/scan-{D}.json"),
        ("agent messages", "requests/01A.txt"),
    ],
)
def test_what_has_another_name_is_somebody_else_s(place, kind, name):
    """Only names that this program gives are touched."""
    put(place, name)
    assert items(place, kind) == []


def test_what_belongs_to_a_version_that_is_needed_stays(running):
    """Its golden predictions and reports are kept with its bytes, whatever their age; of others they go."""
    mine = running.bundle().models[0].digest.removeprefix("sha256:")
    for digest in (mine, D):
        put(running, f"golden/{digest}.json")
        put(running, f"reports/scan-{digest}-0123abcd.json")
    assert items(running, "golden predictions") == [f"{D}.json"]
    assert items(running, "gate reports") == [f"scan-{D}-0123abcd.json"]


def test_what_a_configuration_on_this_host_names_stays(place):
    """An instance is about to be started with it, whatever git and ledger say."""
    put(place, f"golden/{D}.json")
    put(place, "configs/wine-1.json", data=json.dumps({"models": [{"digest": f"sha256:{D}"}]}).encode())
    assert items(place, "golden predictions") == []
    (place.root / "state" / "configs" / "wine-1.json").unlink()
    put(place, "configs/notes.txt", data=D.encode())
    put(place, "configs/torn.json", data=b"\xff\xfe{")
    assert items(place, "golden predictions") == [f"{D}.json"]


@pytest.mark.parametrize(
    ("role", "until_s", "goes"),
    [
        (Role.WARM, 0.0, True),
        (Role.WARM, -1.0, True),
        (Role.WARM, 1.0, False),
        (Role.WARM, None, False),
        (Role.ACTIVE, -1.0, False),
        (Role.CANDIDATE, -1.0, False),
    ],
    ids=["its time ends now", "its time is over", "its time is not over", "it has no limit", "it serves", "it starts"],
)
def test_only_warm_instances_past_their_time_end(running, role, until_s, goes):
    """Under the number of this history, and drained."""
    until = 0.0 if until_s is None else running.clock + until_s
    running.target.instances["wine-1"] = replace(running.target.instances["wine-1"], role=role, until=until)
    one = found(running)["warm instances"]
    assert one.items == ((("wine-1", 0),) if goes else ())
    running.target.calls.clear()
    one.remove()
    assert ("wine-1" not in running.target.instances) is goes
    assert running.target.calls[0] == ("prepare", str(running.history().height))


def test_one_kind_that_cannot_be_looked_at_does_not_hide_the_next(running):
    """It is named with its reason, frees nothing, and the rest is found."""
    running.target.faults["look"] = [Error("the supervisor does not answer")]
    (running.root / "state" / "golden").symlink_to("golden")
    put(running, "requests/01A.json")
    kinds = found(running)
    assert kinds["warm instances"].problem == "the supervisor does not answer"
    assert kinds["golden predictions"].problem.endswith("golden: Too many levels of symbolic links")
    assert kinds["warm instances"].items == kinds["golden predictions"].items == ()
    assert [name for name, _ in kinds["agent messages"].items] == ["01A.json"]


def test_old_versions_go_and_say_how_many_are_too_young(place, tmp_path):
    """What nobody pins any more goes, except what was fetched in the last quarter of an hour."""
    site = place.site()
    for version in ("1", "2", "3"):
        pin = place.pin("wine", version)
        site.cache.ensure(pin, place.registry.facts["wine", version], place.registry)
    digests = {version: place.pin("wine", version).digest for version in ("1", "2", "3")}
    now = max(site.cache.entries().values())
    place.clock = now + 10
    one = found(place)["artifacts"]
    assert (one.items, one.kept) == ((), "2 fetched in the last 15 min")
    place.clock = now + FRESH_S + 10
    one = found(place)["artifacts"]
    assert ([name for name, _ in one.items], one.kept) == (sorted([digests["2"], digests["3"]]), "")
    assert one.size == sum(size for _, size in one.items) > 0
    one.remove()
    assert set(site.cache.entries()) == {digests["1"]}
    one.remove()
    assert set(site.cache.entries()) == {digests["1"]}


def test_of_a_person_s_cache_only_the_old_goes(place):
    """Exactly as old as the limit is still kept."""
    cache = place.site().cache
    for version in ("1", "2"):
        cache.ensure(place.pin("wine", version), place.registry.facts["wine", version], place.registry)
    newest = max(cache.entries().values())
    partial, artifacts = of_user_cache(cache, older_than=min(cache.entries().values()))
    assert (partial.items, artifacts.items) == ((), ())
    artifacts.remove()
    assert len(cache.entries()) == 2
    _, artifacts = of_user_cache(cache, older_than=newest + 1)
    assert len(artifacts.items) == 2
    artifacts.remove()
    assert cache.entries() == {}


def test_sizes_do_not_follow_links(tmp_path):
    """A link counts as itself, a folder with all below it, what is gone as nothing."""
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "a").write_bytes(b"x" * 1000)
    (tmp_path / "big" / "sub").mkdir()
    (tmp_path / "big" / "sub" / "b").write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to(tmp_path / "big")
    assert size_of(tmp_path / "big") == 1010
    assert size_of(tmp_path / "link") == os.lstat(tmp_path / "link").st_size < 1000
    assert size_of(tmp_path / "gone") == 0


def test_a_rollback_needs_no_registry_for_the_last_verified_bundles(tmp_path):
    """So many different bundles of each service; the same one proved again takes no place of another."""
    place = Place(tmp_path / "p")
    story = core.Story()
    versions = [*map(str, range(1, KEEP_BUNDLES + 4)), "2", "2", str(KEEP_BUNDLES + 3)]
    for version in versions:
        story.apply(core.environment(place.service("wine", version)))
    history = fold("production", story.events)
    expected = {str(KEEP_BUNDLES + 3 - n) for n in range(KEEP_BUNDLES - 1)} | {"2"}
    wanted = {place.pin("wine", version).digest for version in expected | {"1"}}  # version 1 is what git wants
    assert needed(place.site(), history) == wanted


def test_what_a_removed_service_ran_can_still_be_gone_back_to(running):
    """Its removal may be reverted while the registry is away."""
    digest = running.bundle().models[0].digest
    running.want(invalid=["wine"])
    assert needed(running.site(), running.history()) == {digest}
