"""The table of rights in docs/github.md, executed: each row is enough for its subject, and nothing in it can be left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mlrelease.commands.doctor.github.asking import Asked
from mlrelease.errors import Error
from mlrelease.forge.github import checks, comments, deployments, environments, issues, pulls, releases
from mlrelease.forge.github.client import GitHub
from mlrelease.forge.github.errors import ForbiddenError, NotFoundError
from support.github_desk import Desk, client, desk
from support.github_server import running_github

pytestmark = pytest.mark.xdist_group("github-flow")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "github.md"


def rows() -> dict[str, dict[str, str]]:
    """Subject → permissions, as the page says."""
    table = PAGE.read_text().partition("<!-- rights:")[2].partition("\n\n")[0]
    found = re.findall(r"^\| (.+?) \| (`.+`) \|$", table, flags=re.MULTILINE)
    return {subject: dict(re.findall(r"`(\w+): (\w+)`", rights)) for subject, rights in found}


def open_and_close(at: Desk, github: GitHub) -> None:
    """A bot's pull request from its opening to its end."""
    at.branch("bump")
    pull, _ = pulls.open_or_refresh(github, head="bump", base="main", title="t", body="b", labels=["bump"])
    pulls.open_or_refresh(github, head="bump", base="main", title="t", body="c")
    pulls.close(github, pull.number)


def read_pull(at: Desk, github: GitHub) -> None:
    """Who approved."""
    number = at.pull()
    at.hub.review(at.name, number, "bob")
    assert pulls.read(github, number).number == number
    assert pulls.approvers(github, number) == ("bob",)
    assert pulls.of_commit(github, pulls.read(github, number).head_sha)


def comment(at: Desk, github: GitHub) -> None:
    """Posted, then changed."""
    number = at.pull()
    assert comments.sticky(github, number, marker="m:1", body="a")
    assert comments.sticky(github, number, marker="m:1", body="b")


def issue(at: Desk, github: GitHub) -> None:
    """Opened, then closed with a word."""
    issues.open_or_refresh(github, marker="m:1", title="t", body="b", labels=["incident"])
    assert issues.close(github, marker="m:1", comment="well") is not None


def check(at: Desk, github: GitHub) -> None:
    """A run; a status in its place would not do."""
    remark = checks.Annotation("a", 1, "t", "m")
    checks.report(github, sha=at.main, name="x", state="failure", title="t", summary="s", annotations=[remark] * 60)
    if not at.state.check_runs:
        raise ForbiddenError(403, "", "no check run was written")


def status(at: Desk, github: GitHub) -> None:
    """What is left where check runs may not be written."""
    checks.report(github, sha=at.main, name="x", state="failure", title="t", summary="s")
    assert len(at.state.statuses) == 1


def deployment(at: Desk, github: GitHub) -> None:
    """Begun and ended."""
    number, _ = deployments.begin(github, sha=at.main, environment="production", description="", payload={})
    deployments.finish(github, number, "success", description="")


def approvals(at: Desk, github: GitHub) -> None:
    """By a person, in a run."""
    run = at.hub.add_run(at.name)
    at.hub.approve_run(at.name, run, "production", "bob")
    assert environments.approvals(github, run)[0].user == "bob"


def environment(at: Desk, github: GitHub) -> None:
    """With its branches."""
    at.hub.environment(at.name, "production", reviewers=["bob"], branches=["main"])
    found = environments.read(github, "production")
    assert (found.reviewers, found.branches, environments.names(github)) == (("bob",), ("main",), ("production",))


def secrets(at: Desk, github: GitHub) -> None:
    """Names alone."""
    environment(at, github)
    at.state.environment_secrets["production"] = ["KEY"]
    if environments.read(github, "production").secrets != ("KEY",):
        raise ForbiddenError(403, "", "the names are not shown")


def workflows(at: Desk, github: GitHub) -> None:
    """And their runs."""
    at.hub.add_run(at.name, workflow="reconcile.yml")
    asked = Asked(github, "main", "a token")
    assert len(asked.list_of("actions/workflows")) == 1
    assert len(asked.get("actions/workflows/reconcile.yml/runs")["workflow_runs"]) == 1


def rules(at: Desk, github: GitHub) -> None:
    """Of the tracked branch."""
    at.hub.protect(at.name, "main")
    asked = Asked(github, "main", "a token")
    assert asked.list_of("rules/branches/main")
    assert asked.rulesets()


def classic(at: Desk, github: GitHub) -> None:
    """That there is none is an answer; a refusal is not."""
    with pytest.raises(NotFoundError, match="Branch not protected"):
        github.get("branches/main/protection")


def codeowners(at: Desk, github: GitHub) -> None:
    """Of a file that is there."""
    at.hub.commit(at.name, "main", {"CODEOWNERS": "* @ann\n"})
    assert github.get("codeowners/errors") == {"errors": []}


def release(at: Desk, github: GitHub) -> None:
    """Draft, asset, published."""
    made = releases.draft(github, tag="v1.0.0", name="v1.0.0", body="", target=at.main)
    releases.upload(github, made, "a.txt", b"a", "text/plain")
    assert releases.publish(github, made.id).draft is False


SUBJECTS: dict[str, Callable[[Desk, GitHub], None]] = {
    "opening, refreshing and closing a pull request": open_and_close,
    "reading a pull request and who approved it": read_pull,
    "the sticky comment on a pull request": comment,
    "an issue about an automatic rollback": issue,
    "a check run with annotations": check,
    "a commit status": status,
    "a deployment and its states": deployment,
    "who approved an environment in a run": approvals,
    "an environment and its protection": environment,
    "the names of an environment's secrets": secrets,
    "workflows and their runs": workflows,
    "rules of a branch, rulesets": rules,
    "the classic protection of a branch": classic,
    "errors in CODEOWNERS": codeowners,
    "a release with its assets": release,
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The local GitHub, which holds each token to its rights."""
    with running_github(tmp_path_factory.mktemp("hub")) as running:
        yield running


def with_rights(at: Desk, rights: dict[str, str]) -> GitHub:
    """A client of a workflow whose `permissions:` are these."""
    token = at.hub.make_token("github-actions[bot]", kind="actions", permissions=rights)
    return client(at.hub, at.name, token=token)


def test_the_page_has_a_row_for_every_subject():
    """And no row without a test."""
    assert list(rows()) == list(SUBJECTS)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_rights_of_a_row_are_enough(hub, subject):
    """With nothing else."""
    at = desk(hub)
    SUBJECTS[subject](at, with_rights(at, rows()[subject]))


CASES = [(subject, name) for subject, rights in rows().items() for name in rights if name != "metadata"]


@pytest.mark.parametrize(("subject", "name"), CASES, ids=lambda text: text)
def test_a_right_of_a_row_cannot_be_left_out(hub, subject, name):
    """Neither altogether, nor lowered to reading."""
    rights = rows()[subject]
    for less in ({}, {name: "read"}) if rights[name] == "write" else ({},):
        at = desk(hub)
        with pytest.raises(Error) as caught:
            SUBJECTS[subject](at, with_rights(at, {k: v for k, v in rights.items() if k != name} | less))
        assert isinstance(caught.value, ForbiddenError)
