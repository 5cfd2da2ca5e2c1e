"""`release LEVEL` over the small world: what it writes, every reason for which it refuses, and what fails halfway."""

from __future__ import annotations

import json
import stat
from dataclasses import replace

import pytest
from mlrelease.commands.release.cut import STEPS
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge.command import PushRefusedError
from mlrelease.model.release import Level
from mlrelease.spec.release_file import ReleaseFile
from support.pair import identity
from support.releasing import DAY, Shop, problems
from support.world import git

pytestmark = pytest.mark.xdist_group("release")


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Version 1 deployed, nothing released yet."""
    with identity():
        yield Shop(tmp_path_factory.mktemp("opened") / "w").ready()


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """v0.1.0 released with version 1; version 2 deployed since, and a fragment written."""
    with identity():
        shop = Shop(tmp_path_factory.mktemp("second") / "w").ready()
        shop.fragment("added-first.md", "The first.")
        shop.released()
        shop.deployed("wine", "2", rmse=68.9)
        shop.fragment("fixed-typo.md", "A typo.")
        yield shop


@pytest.fixture
def shop(second, tmp_path):
    return second.copy(tmp_path / "w")


@pytest.fixture
def fresh(opened, tmp_path):
    return opened.copy(tmp_path / "w")


# -- what a release is -------------------------------------------------------------------------------------------------


def test_a_release_is_one_commit_and_an_annotated_tag_on_both_sides(shop):
    """Branch and tag, here and at the remote, at one commit on top of the tip."""
    before = git(shop.laptop, "rev-parse", "HEAD")
    report = shop.released("minor")
    assert shop.is_complete("v0.2.0")
    assert git(shop.laptop, "rev-parse", "HEAD~1") == before
    assert git(shop.laptop, "cat-file", "-t", "v0.2.0") == "tag"
    assert git(shop.origin, "rev-parse", "v0.2.0") == git(shop.laptop, "rev-parse", "v0.2.0")
    assert git(shop.laptop, "log", "-1", "--format=%s") == "Release v0.2.0"
    assert report.verdict.startswith("v0.2.0 released: 2 lines of the changelog; commit ")
    assert report.next == "mlrelease release verify v0.2.0"
    assert report.data["pushed"] is True


def test_only_the_files_of_the_release_change(shop):
    """VERSION, changelog and record; the fragments go; no pin is touched."""
    shop.released("minor")
    changed = dict(reversed(line.split("\t")) for line in git(shop.laptop, "show", "--format=", "--name-status").splitlines())
    assert changed == {
        "CHANGELOG.md": "M",
        "VERSION": "M",
        "releases/unreleased/fixed-typo.md": "D",
        "releases/v0.2.0.yaml": "A",
    }


def test_the_changelog_has_fragments_and_the_pins_that_moved_with_their_metrics(shop):
    """Keep a Changelog's form: a dated heading, sections in order, Unreleased empty on top."""
    shop.released("minor")
    text = shop.read("CHANGELOG.md")
    assert (
        f"## [Unreleased]\n\n## [0.2.0] - {DAY}\n\n### Changed\n\n- wine 1 → 2 in production (rmse 71.2 → 68.9)\n\n"
        f"### Fixed\n\n- A typo.\n\n## [0.1.0] - {DAY}\n" in text
    )


def test_the_message_of_commit_and_tag_says_what_changed_without_comment_lines(shop):
    """An editor of git would drop lines that begin with `#`."""
    shop.released("minor")
    for message in (
        git(shop.laptop, "log", "-1", "--format=%B"),
        git(shop.laptop, "tag", "-l", "v0.2.0", "--format=%(contents)"),
    ):
        assert "Changed:" in message
        assert "wine 1 → 2 in production" in message
        assert not [line for line in message.splitlines() if line.startswith("#")]


def test_the_record_has_every_pin_with_its_evidence(shop):
    """Pins, digests, image, gates, run, receipt, ledger's head and height, the revision and the tag before."""
    tip = git(shop.laptop, "rev-parse", "HEAD")
    shop.released("minor")
    record = shop.record("v0.2.0")
    assert (record.previous, record.revision, record.actor) == ("v0.1.0", tip, "Ada")
    environment = record.environments["production"]
    links = shop.site().ledger.chain("production")
    assert (environment.height, environment.head) == (len(links), links[-1].digest)
    assert environment.checked == "observed"
    (service,) = environment.services.values()
    (model,) = service.models
    pin = shop.pins["wine", "2"]
    assert (model.pin, service.image.reference) == (pin, f"ghcr.io/acme/serve:0.1.0@sha256:{'ab12' * 16}")
    assert (model.run_id, model.model_id) == ("run-wine-2", "m-2")
    assert model.metrics == {"rmse": 68.9}
    assert {"exists", "digest"} <= set(model.gates)
    assert set(model.gates.values()) == {"passed"}
    recorded = shop.history().recorded["wine"]
    assert (service.receipt, service.revision, service.bundle) == (recorded.event, recorded.revision, recorded.bundle.id)
    assert service.exercised == ("model",)


def test_the_record_is_valid_under_its_own_types_and_names_its_schema(shop):
    """An editor finds the schema from the first line."""
    import yaml

    shop.released("minor")
    text = shop.read("releases/v0.2.0.yaml")
    assert text.startswith("# yaml-language-server: $schema=../templates/schemas/release.v1.json\n")
    assert ReleaseFile.model_validate(yaml.safe_load(text)).release == "v0.2.0"


def test_the_first_release_takes_version_as_it_stands(fresh):
    """`auto`: a VERSION that was prepared is the first release."""
    fresh.file("VERSION", "1.4.0\n")
    fresh.released("auto")
    assert fresh.is_complete("v1.4.0")
    assert fresh.read("VERSION") == "1.4.0"


def test_the_first_release_without_version_is_0_1_0(fresh):
    """VERSION and CHANGELOG.md come into being; everything that runs is new."""
    fresh.released("auto")
    assert fresh.read("VERSION") == "0.1.0"
    text = fresh.read("CHANGELOG.md")
    assert "- The service wine in production, image ghcr.io/acme/serve:0.1.0\n- wine 1 in production (rmse 71.2)" in text


@pytest.mark.parametrize(
    ("level", "fragment", "tag"),
    [
        ("patch", "added-x.md", "v0.1.1"),
        ("minor", "fixed-x.md", "v0.2.0"),
        ("major", "fixed-x.md", "v0.2.0"),
        ("auto", "fixed-x.md", "v0.1.1"),
        ("auto", "security-x.md", "v0.1.1"),
        ("auto", "added-x.md", "v0.2.0"),
        ("auto", "removed-x.md", "v0.2.0"),
        ("auto", "breaking-x.md", "v0.2.0"),
    ],
    ids=[
        "patch is a patch whatever the fragments say",
        "minor is minor whatever the fragments say",
        "before 1.0.0 major is minor",
        "a fix alone is a patch",
        "so is a security line",
        "what is added is minor",
        "what is removed is minor before 1.0.0",
        "what breaks is minor before 1.0.0",
    ],
)
def test_the_level_decides_the_version(second, tmp_path, level, fragment, tag):
    """Over v0.1.0, with version 1 pinned again so that only the fragment counts."""
    shop = second.copy(tmp_path / "w")
    git(shop.laptop, "rm", "--quiet", "releases/unreleased/fixed-typo.md")
    shop.bump("wine", "1")
    shop.run()
    shop.fragment(fragment, "Something.")
    assert shop.release(level, dry_run=True).data["release"] == tag


def test_lines_written_by_hand_move_into_the_section_and_count(shop):
    """What stands under Unreleased is released first, as it is written."""
    text = (shop.laptop / "CHANGELOG.md").read_text()
    by_hand = "## [Unreleased]\n\n### Removed\n\n- The old API.\n  It was old.\n"
    shop.file("CHANGELOG.md", text.replace("## [Unreleased]\n", by_hand))
    report = shop.released("auto")
    assert report.data["release"] == "v0.2.0"
    released = shop.read("CHANGELOG.md").split("## [0.1.0]")[0].split("## [0.2.0]")[1]
    assert "### Removed\n\n- The old API.\n  It was old.\n" in released
    assert shop.read("CHANGELOG.md").count("The old API") == 1


def test_rollbacks_since_the_last_release_are_lines_of_their_own(shop):
    """A version that came and went leaves no pin change, but a line."""
    shop.deployed("wine", "3", rmse=99.0)
    shop.bump("wine", "2")
    shop.run()
    shop.released("minor")
    section = shop.read("CHANGELOG.md").split("## [0.1.0]")[0]
    assert "- wine 3 rolled back to 2 in production on 2027-01-15: " in section
    assert "wine 1 → 2 in production" in section
    shop.deployed("wine", "4", rmse=60.0)
    shop.released("minor")
    assert "rolled back" not in shop.read("CHANGELOG.md").split("## [0.2.0]")[0]


def test_an_image_that_moved_is_a_line(shop):
    """By its tag, where the repository is the same."""
    shop.edit(shop.service_file("wine"), ("image",), f"ghcr.io/acme/serve:0.2.0@sha256:{'cd34' * 16}")
    shop.run()
    shop.released("minor")
    assert "- Image of wine: ghcr.io/acme/serve 0.1.0 → 0.2.0 in production" in shop.read("CHANGELOG.md")


def test_old_metrics_come_from_the_last_record_when_mlflow_has_forgotten_them(shop):
    """The version before may be gone from MLflow by now."""
    shop.registry.delete("wine", "1")
    shop.released("minor")
    assert "(rmse 71.2 → 68.9)" in shop.read("CHANGELOG.md")


def test_the_approver_of_exactly_this_bundle_is_in_the_record(shop):
    """An approval of other components is not."""
    from mlrelease.model.event import Approved

    bundle = shop.history().recorded["wine"].bundle
    after = tuple(sorted(bundle.components().items()))
    common = {"environment": "production", "at": shop.clock, "actor": "Ada", "service": "wine", "before": ()}
    events = [
        Approved(id="A1", after=after, approver="grace", expires_at=shop.clock + 60, run_url="https://example.org/7", **common),
        Approved(id="A2", after=after[:1], approver="mallory", expires_at=shop.clock + 60, **common),
    ]
    shop.site().ledger.append(events)
    shop.released("minor")
    (approval,) = shop.record("v0.2.0").environments["production"].services["wine"].approvals
    assert (approval.event, approval.approver, approval.run_url) == ("A1", "grace", "https://example.org/7")


def test_no_push_leaves_the_remote_alone_and_the_next_run_pushes(shop):
    """What waits is pushed as it is, not cut anew."""
    at_origin = git(shop.origin, "for-each-ref", "refs/heads/main", "refs/tags")
    report = shop.released("minor", push=False)
    assert report.next == "git push --atomic origin main v0.2.0"
    assert git(shop.origin, "for-each-ref", "refs/heads/main", "refs/tags") == at_origin
    commit = git(shop.laptop, "rev-parse", "HEAD")
    again = shop.released("minor")
    assert "was begun before and is whole now" in again.verdict
    assert shop.is_complete("v0.2.0")
    assert git(shop.origin, "rev-parse", "main") == commit


def test_no_push_again_says_what_waits(shop):
    """Run again without a push it stays as it is."""
    shop.released("minor", push=False)
    before = shop.everything()
    report = shop.release("minor", push=False)
    assert report.next == "git push --atomic origin main v0.2.0"
    assert shop.everything() == before


def test_a_clone_that_is_behind_by_a_release_catches_up_and_cuts_nothing(shop, tmp_path):
    """Somebody else released: the same command here brings branch and tag."""
    git(tmp_path, "clone", "--quiet", str(shop.origin), "other")
    shop.released("minor")
    other = replace(shop.desk(), git=type(shop.desk().git)(tmp_path / "other"))
    from mlrelease.commands.release.cut import ReleaseOptions, release

    report = release(other, ReleaseOptions(Level.MINOR))
    assert report.exit_code == 0
    assert git(tmp_path / "other", "rev-parse", "HEAD") == git(shop.laptop, "rev-parse", "v0.2.0^{commit}")
    assert git(tmp_path / "other", "rev-parse", "v0.2.0") == git(shop.laptop, "rev-parse", "v0.2.0")
    assert git(shop.origin, "tag").split() == ["v0.1.0", "v0.2.0"]


def test_a_dry_run_shows_it_and_changes_nothing(shop):
    """The section, the files, the version; all refs, files and the remote as before."""
    before = shop.everything()
    report = shop.release("auto", dry_run=True)
    assert report.exit_code == 0
    assert report.verdict == "v0.2.0 would be released: 2 lines of the changelog; nothing was changed"
    assert "- wine 1 → 2 in production (rmse 71.2 → 68.9)" in report.details
    assert report.data["files"] == ["CHANGELOG.md", "VERSION", "releases/unreleased/fixed-typo.md", "releases/v0.2.0.yaml"]
    assert shop.everything() == before


def test_the_report_as_json_has_stable_keys(shop, capsys):
    """What a workflow reads."""
    from mlrelease.commands.output import emit

    emit(shop.released("minor"), output="json")
    data = json.loads(capsys.readouterr().out)
    assert {"release", "commit", "pushed", "problems", "entries", "environments", "exit_code", "next"} <= set(data)
    assert data["entries"][0] == {"section": "Fixed", "text": "A typo.", "level": "patch"}
    assert data["commit"] == git(shop.laptop, "rev-parse", "HEAD")


def test_without_a_remote_branch_and_tag_are_made_here(tmp_path):
    """A repository of one machine."""
    with identity():
        shop = Shop(tmp_path / "w", remote=False).ready()
        shop.released()
        assert shop.is_complete("v0.1.0")


# -- what is refused ---------------------------------------------------------------------------------------------------


def dirty(shop):
    (shop.laptop / "README.md").write_text("new\n")


def edited(shop):
    shop.model_file("wine").write_text(shop.model_file("wine").read_text() + "# note\n")


def detached(shop):
    git(shop.laptop, "checkout", "--quiet", "--detach")


def elsewhere(shop):
    git(shop.laptop, "switch", "--quiet", "-c", "feature")


def ahead(shop):
    git(shop.laptop, "commit", "--quiet", "--allow-empty", "-m", "Local")


def behind(shop):
    tip = git(shop.laptop, "rev-parse", "HEAD~1")
    git(shop.laptop, "reset", "--quiet", "--hard", tip)


def parted(shop):
    behind(shop)
    ahead(shop)


def tagged_here(shop):
    git(shop.laptop, "tag", "v0.2.0")


def tagged_there(shop):
    """On a commit that this branch does not contain: else it would be the last release."""
    stranger = git(shop.origin, "-c", "user.name=T", "-c", "user.email=t@x", "commit-tree", "main^{tree}", "-m", "Elsewhere")
    git(shop.origin, "tag", "v0.2.0", stranger)


def moved_tag(shop):
    git(shop.laptop, "tag", "--force", "v0.1.0", "HEAD")


def out_of_sync(shop):
    shop.measured("wine", "3", rmse=60.0)
    shop.bump("wine", "3")


def drifted(shop):
    for name, instance in list(shop.target.instances.items()):
        shop.target.instances[name] = replace(instance, ready=False)


def gone_from_mlflow(shop):
    shop.registry.delete("wine", "2")


def mlflow_down(shop):
    shop.registry.down = True


def git_host_down(shop):
    git(shop.laptop, "remote", "set-url", "origin", "../nowhere.git")


def wrong_fragment(shop):
    shop.fragment("misc-x.md", "What?")


def empty_fragment(shop):
    shop.fragment("added-x.md", " \n")


def wrong_version(shop):
    shop.file("VERSION", "0.1.0rc1\n")


def other_version(shop):
    shop.file("VERSION", "0.3.0\n")


def no_version(shop):
    git(shop.laptop, "rm", "--quiet", "VERSION")
    shop.commit("Remove VERSION")


def untagged_record(shop):
    text = shop.read("releases/v0.1.0.yaml").replace("release: v0.1.0", "release: v0.2.0")
    shop.file("releases/v0.2.0.yaml", text + "\n")


def findings(shop):
    shop.file("environments/production/environment.yaml", "schema: 1\n")


def failing_bump(shop):
    shop.file(
        ".bumpversion.toml",
        '[tool.bumpversion]\npre_commit_hooks = ["false"]\n[[tool.bumpversion.files]]\nfilename = "VERSION"\n',
    )


def unmatched_bump(shop):
    files = "".join(f'[[tool.bumpversion.files]]\nfilename = "{name}"\n' for name in ("VERSION", "README.md"))
    config = f"[tool.bumpversion]\n{files}"
    (shop.laptop / "README.md").write_text("no version here\n")
    shop.file(".bumpversion.toml", config)


def forgetful_bump(shop):
    shop.file("README.md", "version 0.1.0\n")
    shop.file(".bumpversion.toml", '[tool.bumpversion]\n[[tool.bumpversion.files]]\nfilename = "README.md"\n')


def broken_ledger(shop):
    from mlrelease.forge.git import Git
    from mlrelease.ledger.ref import LedgerRef

    host = Git(shop.host)
    ref = LedgerRef(host, "origin", "mlrelease/ledger")
    tip = ref.look()
    name = host.run("ls-tree", "--name-only", tip.commit, "production/events/").splitlines()[0]
    ref.swap(host.graft(tip.commit, {name: b"{}\n"}, "Break it\n"), tip)


REFUSALS = [
    (dirty, 5, "the work tree has changes that are not committed: README.md"),
    (edited, 5, "the work tree has changes that are not committed: environments/production/models/wine.yaml"),
    (detached, 5, "the checkout is detached"),
    (elsewhere, 5, "the branch here is feature: releases are cut on main"),
    (ahead, 5, "this clone is ahead of origin/main"),
    (behind, 5, "this clone is behind origin/main"),
    (parted, 5, "this clone and origin/main have parted"),
    (tagged_here, 5, "the tag v0.2.0 is in this clone already"),
    (tagged_there, 5, "the tag v0.2.0 is at origin already"),
    (moved_tag, 5, "the tag v0.1.0 here is another than at origin"),
    (out_of_sync, 5, "production: wine is OutOfSync"),
    (drifted, 5, "production: wine is Drifted"),
    (gone_from_mlflow, 5, "production: wine 2 is gone from http://fake"),
    (mlflow_down, 1, "did not answer"),
    (git_host_down, 1, "origin does not answer"),
    (wrong_fragment, 4, "releases/unreleased/misc-x.md is no changelog fragment"),
    (empty_fragment, 4, "releases/unreleased/added-x.md is empty"),
    (wrong_version, 5, "VERSION says '0.1.0rc1', which is no version"),
    (other_version, 5, "VERSION says 0.3.0, and the newest tag is v0.1.0"),
    (no_version, 5, "VERSION is gone, and v0.1.0 was released"),
    (untagged_record, 5, "releases/v0.2.0.yaml is committed and has no tag"),
    (findings, 4, "production cannot be read"),
    (failing_bump, 1, "bump-my-version: "),
    (unmatched_bump, 1, "bump-my-version: "),
    (forgetful_bump, 1, "VERSION says 0.1.0 after bump-my-version, not 0.2.0"),
    (broken_ledger, 1, "the ledger"),
]


@pytest.mark.parametrize(("trouble", "code", "reason"), REFUSALS, ids=[trouble.__name__ for trouble, _, _ in REFUSALS])
def test_a_release_is_refused_with_its_reason_and_changes_nothing(shop, trouble, code, reason):
    """Refs, tree, index and every file are as before, here and at the remote."""
    trouble(shop)
    before = shop.everything()
    report = shop.release("minor")
    assert reason in problems(report)
    assert report.exit_code == code
    assert "nothing was changed" in report.verdict
    assert all(str(row[0]) for row in report.rows)
    assert shop.everything() == before


def test_all_reasons_are_said_at_once(shop):
    """Not the first one only: nobody wants to run it five times."""
    out_of_sync(shop)
    wrong_fragment(shop)
    tagged_here(shop)
    dirty(shop)
    mlflow_down(shop)
    report = shop.release("minor")
    said = problems(report)
    for reason in ("not committed: README.md", "OutOfSync", "misc-x.md", "v0.2.0 is in this clone", "did not answer"):
        assert reason in said
    assert report.exit_code == 1
    assert report.data["problems"][0].keys() == {"message", "hint", "exit_code"}


def test_an_empty_release_is_refused(shop):
    """No fragment, no pin that moved, nothing by hand: also where a version came and went."""
    shop.released("minor")
    shop.deployed("wine", "3", rmse=99.0)
    shop.bump("wine", "2")
    shop.run()
    report = shop.release("patch")
    assert report.exit_code == 5
    assert problems(report) == "nothing to release since v0.2.0: no fragment and no pin that moved"


def test_an_environment_that_is_not_there_is_named_with_those_that_are(shop):
    """`--environment` is said, since the default is production."""
    report = shop.release("minor", environments=("live",))
    assert "there is no environment 'live'" in problems(report)
    assert "environments here: production" in report.rows[-1][1] + report.rows[0][1]


def test_what_was_never_deployed_is_not_released(tmp_path):
    """Pins that no receipt proves are OutOfSync."""
    with identity():
        shop = Shop(tmp_path / "w").create()
        shop.measured("wine", "1", rmse=71.2)
        report = shop.release()
    assert report.exit_code == 5
    assert "production: wine is OutOfSync" in problems(report)


def test_events_that_wait_on_this_host_are_brought_in_first(shop):
    """A record must not name a receipt that only one machine has."""
    git(shop.host, "remote", "set-url", "origin", "../nowhere.git")
    shop.site().ledger.append([])
    from support.repositories import held

    shop.site().ledger.append([held(1, "production")])
    git(shop.host, "remote", "set-url", "origin", "../origin.git")
    report = shop.release("minor")
    assert "production: 1 events wait on this host" in problems(report)


# -- where production does not run here --------------------------------------------------------------------------------


@pytest.fixture
def afar(shop, monkeypatch):
    """Production runs on another host: its target cannot be asked from here."""
    from mlrelease.delivery.passes import look

    here = Shop.site
    monkeypatch.setattr(Shop, "site", lambda self, **more: replace(here(self, **more), runs_here=False))
    assert look is not None
    return shop


def beat(shop, age_s, **words):
    from mlrelease.model.when import iso

    shop.site().ledger.beat("production", {"at": iso(shop.clock - age_s), "revision": "0" * 40, "sync": words})


def test_a_fresh_heartbeat_that_agrees_is_enough_and_the_record_says_so(afar):
    """The agent's own word."""
    beat(afar, 30, wine="InSync")
    afar.released("minor")
    assert afar.record("v0.2.0").environments["production"].checked == "heartbeat"


def test_a_fresh_heartbeat_that_does_not_agree_refuses(afar):
    """Drift on the host is seen from here."""
    beat(afar, 30, wine="Drifted")
    report = afar.release("minor")
    assert problems(report) == "production: its agent says that wine is Drifted"
    assert report.exit_code == 5


def test_a_fresh_heartbeat_without_a_word_for_a_service_vouches_for_nothing(afar):
    """Its agent could not look: the record must not say that it had."""
    beat(afar, 30)
    afar.released("minor")
    assert afar.record("v0.2.0").environments["production"].checked == "ledger"


@pytest.mark.parametrize("age_s", [None, 3600], ids=["without a heartbeat", "with one of an hour ago"])
def test_the_ledger_alone_counts_where_no_agent_speaks(afar, age_s):
    """And the record says that nobody looked."""
    if age_s:
        beat(afar, age_s, wine="Drifted")
    afar.released("minor")
    assert afar.record("v0.2.0").environments["production"].checked == "ledger"


# -- what fails halfway ------------------------------------------------------------------------------------------------


class InjectedError(Exception):
    """A failure at a step."""


@pytest.mark.parametrize("failing", STEPS)
def test_failing_after_a_step_leaves_all_as_before_or_the_next_run_ends_it(shop, failing):
    """The same steps as of the killed release, by an exception: nothing is left locked, half written or half pushed."""
    before = shop.everything()

    def step(name):
        if name == failing:
            raise InjectedError(name)

    with pytest.raises(InjectedError):
        shop.release("minor", step=step)
    if STEPS.index(failing) < STEPS.index("pushed"):
        assert shop.everything() == before
    report = shop.release("minor")
    assert shop.is_complete("v0.2.0")
    assert (report.exit_code == 0) is (failing != "kept")
    assert git(shop.origin, "tag").split() == ["v0.1.0", "v0.2.0"]


def during(wanted, action):
    """Does something once, right after a step of the release."""

    def step(name):
        if name == wanted:
            action()

    return step


@pytest.mark.parametrize("when", ["surveyed", "drafted", "committed", "tagged"])
def test_a_push_during_the_release_refuses_branch_and_tag_alike(shop, tmp_path, when):
    """Everything is as before; after a pull it goes through with the new tip."""
    git(tmp_path, "clone", "--quiet", str(shop.origin), "other")

    def push():
        git(tmp_path / "other", "commit", "--quiet", "--allow-empty", "-m", "Meanwhile")
        git(tmp_path / "other", "push", "--quiet")

    refs = git(shop.laptop, "for-each-ref", "refs/heads", "refs/tags")
    with pytest.raises(PushRefusedError, match="neither branch nor tag was taken") as refused:
        shop.release("minor", step=during(when, push))
    assert refused.value.stale
    assert "git pull" in refused.value.hint
    assert git(shop.laptop, "for-each-ref", "refs/heads", "refs/tags") == refs
    assert git(shop.laptop, "status", "--porcelain") == ""
    assert git(shop.origin, "tag").split() == ["v0.1.0"]
    git(shop.laptop, "pull", "--quiet", "--ff-only")
    shop.released("minor")
    assert shop.is_complete("v0.2.0")


def test_a_tag_pushed_during_the_release_refuses_the_branch_too(shop, tmp_path):
    """Two people release at once: the second gets nothing in."""
    refs = git(shop.laptop, "for-each-ref", "refs/heads", "refs/tags")
    tip = git(shop.origin, "rev-parse", "main")
    with pytest.raises(PushRefusedError, match=r"already exists; neither branch nor tag was taken"):
        shop.release("minor", step=during("tagged", lambda: git(shop.origin, "tag", "v0.2.0", "main~1")))
    assert git(shop.origin, "rev-parse", "main") == tip
    assert git(shop.laptop, "for-each-ref", "refs/heads", "refs/tags") == refs


def hook(shop, name, script):
    place = shop.origin / "hooks" / name
    place.parent.mkdir(exist_ok=True)
    place.write_text(f"#!/bin/sh\n{script}\n")
    place.chmod(place.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/tags/v0.2.0"], ids=["the branch", "the tag"])
def test_a_rule_of_the_remote_against_one_refuses_both(shop, ref):
    """A protected branch, or a ruleset for tags: the pull request is the way, and it is named."""
    hook(shop, "update", f'test "$1" != {ref} || {{ echo "protected" >&2; exit 1; }}')
    before = shop.everything()
    with pytest.raises(PushRefusedError) as refused:
        shop.release("minor")
    assert not refused.value.stale
    assert "--pr" in refused.value.hint
    assert shop.everything() == before


def test_a_remote_that_dies_before_the_push_leaves_all_as_before(shop):
    """It is not known whether it took it, so it is asked; it does not answer, and that is said."""
    before = shop.everything()
    with pytest.raises(UnavailableError) as failed:
        shop.release("minor", step=during("tagged", lambda: shop.origin.rename(shop.root / "away.git")))
    assert "nothing changed here: run it again" in failed.value.hint
    (shop.root / "away.git").rename(shop.origin)
    assert shop.everything() == before
    shop.released("minor")
    assert shop.is_complete("v0.2.0")


def test_a_push_whose_answer_got_lost_is_looked_up(shop, monkeypatch):
    """The remote has both: the release goes on instead of failing."""
    from mlrelease.forge import tags

    real = tags.push

    def lost(repository, remote, refs):
        real(repository, remote, refs)
        raise UnavailableError("the connection broke", hint="see to the network")

    monkeypatch.setattr(tags, "push", lost)
    shop.released("minor")
    assert shop.is_complete("v0.2.0")


def test_a_branch_that_moves_here_meanwhile_without_a_remote_releases_nothing(tmp_path):
    """The commit was made on the older one."""
    with identity():
        shop = Shop(tmp_path / "w", remote=False).ready()
        with pytest.raises(Error, match="main moved while the release was made"):
            shop.release(step=during("tagged", lambda: git(shop.laptop, "commit", "-q", "--allow-empty", "-m", "Meanwhile")))
        assert git(shop.laptop, "tag") == ""
        shop.released()
        assert shop.is_complete("v0.1.0")


def test_nobody_is_known_who_commits(shop, monkeypatch):
    """Said with the other reasons, before anything is made."""
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(shop.root))
    report = shop.release("minor")
    assert "git does not know who commits" in problems(report)


# -- versions in files -------------------------------------------------------------------------------------------------


def test_a_chart_that_the_repository_configures_moves_along(shop):
    """Its own `.bumpversion.toml` is used; nothing that only looks like the version is touched."""
    shop.file("chart.yaml", "version: 0.1.0\nother: 10.1.0\n")
    config = '[tool.bumpversion]\ncurrent_version = "0.1.0"\n[[tool.bumpversion.files]]\nfilename = "VERSION"\n'
    config += '[[tool.bumpversion.files]]\nfilename = "chart.yaml"\n'
    config += 'search = "version: {current_version}"\nreplace = "version: {new_version}"\n'
    shop.file(".bumpversion.toml", config)
    shop.released("minor")
    assert shop.read("chart.yaml") == "version: 0.2.0\nother: 10.1.0"
    assert 'current_version = "0.2.0"' in shop.read(".bumpversion.toml")
    assert shop.is_complete("v0.2.0")


def test_modes_links_and_line_ends_of_other_files_stay(shop):
    """The copy that the release is made in changes nothing that it does not have to."""
    script = shop.laptop / "run.sh"
    script.write_bytes(b"#!/bin/sh\r\necho\r\n")
    script.chmod(0o755)
    (shop.laptop / "link").symlink_to("/etc/passwd")
    shop.commit("A script and a link")
    before = {line for line in git(shop.laptop, "ls-tree", "-r", "HEAD").splitlines() if "run.sh" in line or "link" in line}
    shop.released("minor")
    after = {line for line in git(shop.laptop, "ls-tree", "-r", "HEAD").splitlines() if "run.sh" in line or "link" in line}
    assert before == after
    assert len(after) == 2


def test_a_version_file_that_is_a_link_is_refused_and_nothing_outside_is_written(shop, tmp_path):
    """Nothing that is written leaves the copy."""
    outside = tmp_path / "outside"
    outside.write_text("0.1.0\n")
    (shop.laptop / "VERSION").unlink()
    (shop.laptop / "VERSION").symlink_to(outside)
    shop.commit("Link VERSION")
    report = shop.release("minor")
    assert "which is no version" in problems(report)
    assert outside.read_text() == "0.1.0\n"


def test_two_environments_are_released_together(tmp_path):
    """`--environment` names what counts; each has its part of the record and its lines."""
    from support.pair import Pair, approved, staged

    with identity():
        pair = staged(Pair(tmp_path / "p").create())
        from mlrelease.commands.release.cut import ReleaseOptions, release

        report = release(pair.person(), ReleaseOptions(environments=("staging", "production")))
        assert "production: wine is OutOfSync" in problems(report)
        pair.run("staging")
        pair.bump("wine", "2")
        approved(pair)
        pair.run()
        report = release(pair.person(), ReleaseOptions(environments=("staging", "production")))
    assert report.exit_code == 0, problems(report)
    assert report.data["environments"] == ["production", "staging"]
    text = git(pair.laptop, "show", "v0.1.0:releases/v0.1.0.yaml")
    assert "staging:" in text
    assert "approver: grace" in text
