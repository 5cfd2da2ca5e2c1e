"""Releases over GitHub: the pull request, what merging it means, publishing step by step; over the local GitHub server."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from mlrelease.commands.release.cut import ReleaseOptions
from mlrelease.commands.release.proposal import propose
from mlrelease.commands.release.publish import publish
from mlrelease.commands.release.verify import VerifyOptions, verify
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.forge.command import PushRefusedError
from mlrelease.forge.github.client import ForbiddenError
from mlrelease.model.release import BRANCH, Level
from support.github_server import running_github
from support.pair import identity
from support.releasing import Shop, problems
from support.world import git

pytestmark = [pytest.mark.xdist_group("release-github"), pytest.mark.timeout(300)]

NAME = "acme/models"
ASSETS = {"v0.2.0.yaml", "v0.2.0.yaml.sha256"}


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """v0.1.0 released with version 1; version 2 deployed since, and a fragment written."""
    with identity():
        shop = Shop(tmp_path_factory.mktemp("github") / "w").ready()
        shop.fragment("added-first.md", "The first.")
        shop.released()
        shop.deployed("wine", "2", rmse=68.9)
        shop.fragment("added-more.md", "More, and [a link](https://example.org).")
        yield shop


class OnGitHub:
    """The shop with its remote on the local GitHub."""

    def __init__(self, shop: Shop, hub) -> None:
        self.shop, self.hub = shop, hub
        hub.repository(NAME)
        hub._states[NAME].git_path = shop.origin

    def desk(self, *, token: str = "", **changes: object):
        variables = self.hub.environment_variables(NAME, token=token or self.hub.token)
        return self.shop.desk(**{"variables": variables, **changes})

    def propose(self, level: str = "auto", **options: object):
        return propose(self.desk(), ReleaseOptions(Level(level), **options))

    def publish(self, tag: str = "", **more: object):
        return publish(self.desk(), tag, **more)

    @property
    def state(self):
        return self.hub.state(NAME)

    @property
    def pulls(self):
        return [pull for pull in self.state.pulls.values() if pull["head"]["ref"] == BRANCH]

    def merge(self, method: str = "squash") -> str:
        (pull,) = [pull for pull in self.pulls if pull["state"] == "open"]
        return self.hub.merge(NAME, pull["number"], method)

    def merged(self, method: str = "squash") -> str:
        """The release proposed and merged; the merge."""
        assert self.propose().exit_code == 0
        return self.merge(method)

    @property
    def release(self):
        (one,) = self.state.releases
        return one

    def tags(self) -> list[str]:
        return git(self.shop.origin, "tag").split()


@pytest.fixture
def place(second, tmp_path):
    with running_github(tmp_path / "hub") as hub:
        yield OnGitHub(second.copy(tmp_path / "w"), hub)


# -- the pull request --------------------------------------------------------------------------------------------------


def test_the_pull_request_has_the_release_commit_and_says_what_is_in_it(place):
    """One commit on the tool's branch, on top of the tip; title, changelog, pins and marker in the text."""
    tip = git(place.shop.origin, "rev-parse", "main")
    report = place.propose()
    assert report.exit_code == 0
    (pull,) = place.pulls
    assert pull["title"] == "Release v0.2.0"
    assert pull["body"].startswith("<!-- mlrelease:release:production:v0.2.0 -->\n")
    assert "- wine 1 → 2 in production (rmse 71.2 → 68.9)" in pull["body"]
    assert "| production | wine | wine | 2 | sha256:" in pull["body"]
    assert git(place.shop.origin, "rev-parse", f"{BRANCH}~1") == tip
    assert git(place.shop.origin, "rev-parse", "main") == tip
    assert place.tags() == ["v0.1.0"]
    assert report.data["pull_request"]["number"] == pull["number"]
    assert report.next.endswith("then: mlrelease release publish")


def test_run_again_the_same_release_is_not_pushed_again(place):
    """Neither commit nor pull request is touched."""
    place.propose()
    commit = git(place.shop.origin, "rev-parse", BRANCH)
    place.shop.clock += 3600
    report = place.propose()
    assert "proposed already in #" in report.verdict
    assert git(place.shop.origin, "rev-parse", BRANCH) == commit
    assert len(place.pulls) == 1


def test_a_branch_that_moved_on_refreshes_the_one_pull_request(place):
    """A new fragment: rebuilt on the new tip, in the same pull request."""
    place.propose()
    (pull,) = place.pulls
    place.shop.fragment("fixed-late.md", "A late fix.")
    report = place.propose()
    assert f"refreshed #{pull['number']}" in report.verdict
    assert len(place.pulls) == 1
    assert "A late fix." in place.pulls[0]["body"]
    assert git(place.shop.origin, "rev-parse", f"{BRANCH}~1") == git(place.shop.origin, "rev-parse", "main")


def test_another_level_makes_another_version_in_the_same_pull_request(place):
    """The title follows."""
    place.propose("patch")
    assert place.pulls[0]["title"] == "Release v0.1.1"
    place.propose("minor")
    assert [pull["title"] for pull in place.pulls] == ["Release v0.2.0"]
    files = git(place.shop.origin, "ls-tree", "--name-only", BRANCH, "releases/").split()
    assert "releases/v0.2.0.yaml" in files
    assert "releases/v0.1.1.yaml" not in files


def test_what_is_checked_out_does_not_matter(place):
    """A workflow's checkout may be detached, shallow in files, or dirty: the tip is what is proposed."""
    git(place.shop.laptop, "checkout", "--quiet", "--detach", "HEAD~1")
    (place.shop.laptop / "README.md").write_text("dirty\n")
    assert place.propose().exit_code == 0
    assert (place.shop.laptop / "README.md").read_text() == "dirty\n"


def test_a_proposal_is_refused_for_the_reasons_of_a_release(place):
    """All at once, and nothing is pushed."""
    place.shop.measured("wine", "3", rmse=60.0)
    place.shop.bump("wine", "3")
    place.shop.fragment("misc-x.md", "What?")
    report = place.propose()
    assert report.exit_code == 5
    assert "OutOfSync" in problems(report)
    assert "misc-x.md" in problems(report)
    assert place.pulls == []
    assert git(place.shop.origin, "branch", "--list", BRANCH) == ""


def test_without_github_nothing_is_pushed(place):
    """Said before anything is made."""
    with pytest.raises(Error, match="not on GitHub"):
        propose(place.shop.desk(), ReleaseOptions())
    assert git(place.shop.origin, "branch", "--list", BRANCH) == ""


def test_somebody_elses_commit_on_the_branch_is_not_overwritten(place):
    """A person mended the text of the changelog there: merged or given up by people, not by us."""
    place.propose()
    git(place.shop.laptop, "fetch", "--quiet", "origin", BRANCH)
    git(place.shop.laptop, "switch", "--quiet", "--detach", "FETCH_HEAD")
    git(place.shop.laptop, "commit", "--quiet", "--allow-empty", "-m", "Better words")
    git(place.shop.laptop, "push", "--quiet", "origin", f"HEAD:{BRANCH}")
    mine = git(place.shop.laptop, "rev-parse", "HEAD")
    git(place.shop.laptop, "switch", "--quiet", "main")
    place.shop.fragment("fixed-late.md", "A late fix.")
    with pytest.raises(Error, match="somebody else's commit"):
        place.propose()
    assert git(place.shop.origin, "rev-parse", BRANCH) == mine


@pytest.mark.parametrize("step", ["surveyed", "drafted", "committed", "pushed", "opened"])
def test_failing_after_a_step_of_a_proposal_the_next_run_converges(place, step):
    """One branch, one pull request, whatever was there before."""

    class InjectedError(Exception):
        pass

    def fail(name):
        if name == step:
            raise InjectedError

    with pytest.raises(InjectedError):
        propose(place.desk(), ReleaseOptions(), step=fail)
    assert place.propose().exit_code == 0
    assert [pull["state"] for pull in place.pulls] == ["open"]
    assert git(place.shop.origin, "rev-parse", f"{BRANCH}~1") == git(place.shop.origin, "rev-parse", "main")


def test_a_lost_answer_opens_no_second_pull_request(place):
    """GitHub made it and the connection broke."""
    from support.github_server import lost

    place.hub.fault("POST /repos/*/pulls", lost())
    assert place.propose().exit_code == 0
    assert len(place.pulls) == 1


# -- publishing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["squash", "merge"])
def test_the_merge_is_tagged_and_published(place, method):
    """An annotated tag on the commit of the branch that brought the record; a published release with record and checksum."""
    merge = place.merged(method)
    report = place.publish()
    assert report.exit_code == 0
    assert git(place.shop.origin, "rev-parse", "v0.2.0^{commit}") == merge
    assert git(place.shop.origin, "cat-file", "-t", "v0.2.0") == "tag"
    release = place.release
    assert (release["tag_name"], release["draft"]) == ("v0.2.0", False)
    assert {asset["name"] for asset in release["assets"]} == ASSETS
    assert "wine 1 → 2 in production" in release["body"]
    assert report.data["url"] == release["html_url"]
    git(place.shop.laptop, "pull", "--quiet")
    assert verify(place.desk(), "v0.2.0", VerifyOptions()).exit_code == 0


def test_a_later_merge_of_an_older_branch_does_not_take_the_tag(place):
    """Against its other parent it seems to bring the record: the branch's own first parents count."""
    place.hub.commit(NAME, "feature", {"notes.md": "old work\n"})
    merge = place.merged("merge")
    later = place.hub.merge(NAME, place.hub.open_pull(NAME, head="feature"), "merge")
    place.publish()
    assert git(place.shop.origin, "rev-parse", "v0.2.0^{commit}") == merge != later


def test_the_checksum_is_that_of_the_record(place):
    """`sha256sum --check` takes it."""
    merge = place.merged()
    place.publish()
    by_name = {asset["name"]: place.state.asset_bytes[asset["id"]] for asset in place.release["assets"]}
    record = by_name["v0.2.0.yaml"]
    assert record.decode().strip() == git(place.shop.origin, "show", f"{merge}:releases/v0.2.0.yaml")
    assert by_name["v0.2.0.yaml.sha256"].decode() == f"{hashlib.sha256(record).hexdigest()}  v0.2.0.yaml\n"


def test_published_last_so_that_an_immutable_release_is_whole(place):
    """The order of the calls: draft, assets, publish."""
    place.state.has_immutable_releases = True
    place.merged()
    place.publish()
    writes = [call for call in place.hub.calls if call.method in ("POST", "PATCH") and "releases" in call.path]
    assert [call.method for call in writes] == ["POST", "POST", "POST", "PATCH"]
    assert writes[-1].body == {"draft": False}


def test_published_again_it_is_there_already(place):
    """0, and nothing is written."""
    place.merged()
    place.publish()
    before = len([call for call in place.hub.calls if call.method != "GET"])
    report = place.publish()
    assert "tag was there" in report.verdict
    assert "was published already" in report.verdict
    assert len([call for call in place.hub.calls if call.method != "GET"]) == before


PUBLISHING = (
    "surveyed",
    "tagged",
    "pushed",
    "kept",
    "drafted",
    "uploaded v0.2.0.yaml",
    "uploaded v0.2.0.yaml.sha256",
    "published",
)


@pytest.mark.parametrize("step", PUBLISHING)
def test_a_half_made_release_is_completed(place, step):
    """Whatever step it ended after: one tag, one release, both assets, published."""
    merge = place.merged()

    class InjectedError(Exception):
        pass

    def fail(name):
        if name == step:
            raise InjectedError

    with pytest.raises(InjectedError):
        place.publish(step=fail)
    assert place.publish().exit_code == 0
    assert place.tags() == ["v0.1.0", "v0.2.0"]
    assert git(place.shop.origin, "rev-parse", "v0.2.0^{commit}") == merge
    assert place.release["draft"] is False
    assert {asset["name"] for asset in place.release["assets"]} == ASSETS


@pytest.mark.parametrize(
    "call",
    ["POST /repos/*/releases", "POST /repos/*/assets", "PATCH /repos/*/releases/*"],
    ids=["the draft", "an asset", "the end"],
)
def test_a_server_that_fails_leaves_a_half_that_the_next_run_completes(place, call):
    """Refused once for good: an error; then done."""
    place.merged()
    place.hub.fault(call, 403)
    with pytest.raises(ForbiddenError):
        place.publish()
    assert place.publish().exit_code == 0
    assert place.release["draft"] is False
    assert {asset["name"] for asset in place.release["assets"]} == ASSETS


def test_a_release_cut_without_a_pull_request_is_published_too(place):
    """The tag is there already; GitHub's release is what is missing."""
    place.shop.released("minor")
    tag = git(place.shop.origin, "rev-parse", "v0.2.0")
    report = place.publish()
    assert "tag was there" in report.verdict
    assert git(place.shop.origin, "rev-parse", "v0.2.0") == tag
    assert place.release["draft"] is False


def test_an_older_release_can_be_named(place):
    """The newest is only the default."""
    place.shop.released("minor")
    place.publish("v0.1.0")
    assert [release["tag_name"] for release in place.state.releases] == ["v0.1.0"]


def test_without_github_the_tag_is_all(place):
    """And it is said."""
    place.merged()
    report = publish(place.shop.desk(), "")
    assert report.exit_code == 0
    assert "the tag is all" in report.verdict
    assert place.tags() == ["v0.1.0", "v0.2.0"]
    assert place.state.releases == []


def test_pins_that_moved_between_record_and_merge_are_not_tagged(place):
    """A pin merged first makes the record untrue: refused with the way out, which works."""
    place.propose()
    place.shop.measured("wine", "3", rmse=60.0)
    place.shop.bump("wine", "3")
    merge = place.merge()
    with pytest.raises(Error, match=r"releases/v0\.2\.0\.yaml does not fit") as refused:
        place.publish()
    assert f"git revert {merge[:9]}" in refused.value.hint
    assert place.tags() == ["v0.1.0"]
    assert place.state.releases == []
    git(place.shop.laptop, "pull", "--quiet")
    place.shop.revert(merge)
    place.shop.run()
    place.merged()
    assert place.publish().exit_code == 0
    assert place.tags() == ["v0.1.0", "v0.2.0"]
    assert place.shop.record("v0.2.0", "v0.2.0") is not None


def test_a_release_is_not_cut_over_a_merged_one_without_a_tag(place):
    """`publish` comes first, and it is named."""
    place.merged()
    git(place.shop.laptop, "pull", "--quiet")
    place.shop.fragment("added-x.md", "X.")
    report = place.shop.release("minor")
    assert "releases/v0.2.0.yaml is committed and has no tag" in problems(report)
    assert place.shop.release("minor").rows[0][1] == "mlrelease release publish tags what was merged"


def test_two_publish_at_once_and_one_tag_stands(place):
    """The other's tag on the same commit is as good as ours."""
    merge = place.merged()

    def meanwhile(name):
        if name == "tagged":
            git(place.shop.origin, "-c", "user.name=T", "-c", "user.email=t@x", "tag", "-a", "-m", "first", "v0.2.0", merge)

    assert place.publish(step=meanwhile).exit_code == 0
    assert git(place.shop.origin, "tag", "-l", "v0.2.0", "--format=%(contents:subject)") == "first"
    assert git(place.shop.laptop, "rev-parse", "v0.2.0") == git(place.shop.origin, "rev-parse", "v0.2.0")


def test_a_tag_that_somebody_put_elsewhere_meanwhile_is_refused(place):
    """Not ours, and not on the merge."""
    place.merged()

    def meanwhile(name):
        if name == "tagged":
            git(place.shop.origin, "tag", "v0.2.0", "main~1")

    with pytest.raises(PushRefusedError):
        place.publish(step=meanwhile)
    assert place.state.releases == []


@pytest.mark.parametrize(
    ("tag", "kind", "match"),
    [("v9.9.9", Error, r"there is no releases/v9\.9\.9\.yaml on the branch"), ("newest", UsageError, "'newest' is no release")],
    ids=["one that is not there", "a name that is none"],
)
def test_what_cannot_be_published_is_said(place, tag, kind, match):
    """Before anything is written."""
    with pytest.raises(kind, match=match):
        place.publish(tag)
    assert place.state.releases == []


def test_a_git_host_that_does_not_answer_publishes_nothing(place):
    """What was fetched last may be old."""
    place.merged()
    git(place.shop.laptop, "remote", "set-url", "origin", "../nowhere.git")
    with pytest.raises(UnavailableError):
        place.publish()
    assert place.state.releases == []


def test_a_published_release_with_another_record_is_not_touched(place):
    """Somebody published by hand under our tag: what people downloaded does not change."""
    place.merged()
    place.publish()
    one = place.release
    place.state.releases[0]["assets"] = [asset for asset in one["assets"] if asset["name"] == "v0.2.0.yaml.sha256"]
    with pytest.raises(Error, match="is missing in the published release"):
        place.publish()


def test_the_workflow_token_is_enough(place):
    """`contents` and `pull-requests`, as the workflow asks for them."""
    token = place.hub.make_token(
        "github-actions[bot]", kind="actions", permissions={"contents": "write", "pull_requests": "write"}
    )
    assert propose(place.desk(token=token), ReleaseOptions()).exit_code == 0
    place.merge()
    assert publish(place.desk(token=token), "").exit_code == 0
    assert isinstance(place.shop.origin, Path)


# -- a rollback to a release, where the branch takes no push -----------------------------------------------------------


@pytest.mark.parametrize("asked", [True, False], ids=["asked for by --pr", "because the branch is protected"])
def test_a_rollback_to_a_release_waits_in_a_pull_request_and_counts_at_once(place, asked):
    """All services in one pull request, each held at its commit; the tracked branch stays until it is merged."""
    from mlrelease.commands.release.restore import restore
    from mlrelease.commands.rollback import RollbackOptions

    if not asked:
        hook = place.shop.origin / "hooks" / "update"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text('#!/bin/sh\ntest "$1" != refs/heads/main || { echo protected >&2; exit 1; }\n')
        hook.chmod(0o755)
    tip = git(place.shop.origin, "rev-parse", "main")
    report = restore(place.desk(), "production", RollbackOptions(to_release="v0.1.0", pr=asked))
    assert report.exit_code == 0, (report.verdict, report.notes)
    assert git(place.shop.origin, "rev-parse", "main") == tip
    (pull,) = place.state.pulls.values()
    assert report.data["pull_request"]["number"] == pull["number"]
    held = [hold for hold in place.shop.history().holds if hold.pinned_to]
    assert [hold.service for hold in held] == ["wine"]
    pinned = git(place.shop.origin, "show", f"{held[0].pinned_to}:environments/production/models/wine.yaml")
    assert 'version: "1"' in pinned
