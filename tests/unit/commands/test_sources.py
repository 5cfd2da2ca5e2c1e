"""What `why` asks of GitHub: pull requests by their number and by their commit, against the local GitHub; and its silence."""

from __future__ import annotations

import pytest
from mlrelease.commands.sources import Sources
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.source import Tracked
from mlrelease.forge.git import Git
from mlrelease.history.landings import PinCommit
from mlrelease.render.lineage import GITHUB, Pull
from support.github_server import running_github
from support.repositories import git, repository

NAME = "acme/models"
pytestmark = pytest.mark.xdist_group("hub-sources")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """One merged pull request, approved by bob and judged otherwise by carol."""
    with running_github(tmp_path_factory.mktemp("hub")) as hub:
        hub.repository(NAME, started=True)
        hub.commit(NAME, "bump", {"environments/production/models/wine.yaml": "x\n"})
        number = hub.open_pull(NAME, head="bump", title="Pin wine 2")
        hub.review(NAME, number, "bob", "APPROVED")
        hub.review(NAME, number, "carol", "APPROVED")
        hub.review(NAME, number, "carol", "CHANGES_REQUESTED")
        hub.merged = (number, hub.merge(NAME, number))
        yield hub


@pytest.fixture
def sources(hub, tmp_path):
    """Asks that GitHub with its owner's token, from a clone that has no remote."""
    return made(tmp_path, hub.environment_variables(NAME))


def made(path, variables, *, offline=False):
    clone = repository(path / "clone")
    workspace = Workspace(Git(clone), Tracked("", "main"), "ada", "run", variables)
    return Sources(workspace, offline)


def commit(sha, subject="Pin wine 2"):
    return PinCommit(sha, subject, "ada", 1.0, 2.0, {})


def test_a_number_in_the_subject_is_looked_up(hub, sources):
    """Title, author, address, and those whose last word was yes."""
    number, sha = hub.merged
    found = sources.pull(commit(sha, f"Pin wine 2 (#{number})"))
    assert (found.number, found.source, found.title, found.approvers) == (number, GITHUB, "Pin wine 2", ("bob",))
    assert found.url.endswith(f"/pull/{number}")
    assert found.author
    assert sources.notes == []


def test_a_commit_without_a_number_is_looked_up_by_itself(hub, sources):
    """A merge by rebase leaves no number in the subject."""
    number, sha = hub.merged
    assert sources.pull(commit(sha)).number == number


def test_a_commit_without_a_pull_request_has_none(hub, sources):
    """Pushed by somebody who may."""
    sha = hub.commit(NAME, "main", {"other.txt": "x\n"})
    assert sources.pull(commit(sha)) is None
    assert sources.pull(commit("f" * 40)) is None
    assert sources.notes == []


def test_a_number_that_github_does_not_have_is_kept_as_git_says_it(hub, sources):
    """The commit may come from another repository; the next question is asked all the same."""
    assert sources.pull(commit("f" * 40, "Pin (#999)")) == Pull(999, "git fffffffff")
    number, sha = hub.merged
    assert sources.pull(commit(sha)).number == number
    assert sources.notes == []


def test_a_github_that_does_not_answer_is_asked_once(hub, sources):
    """The number stands all the same, and the deadline is paid once."""
    number, sha = hub.merged
    hub.fault("GET */pulls/*", 403)
    before = len(hub.calls)
    for _ in range(3):
        assert sources.pull(commit(sha, f"Pin wine 2 (#{number})")) == Pull(number, f"git {sha[:9]}")
    assert len(hub.calls) - before <= 2
    assert len(sources.notes) == 1
    assert sources.notes[0].startswith("GitHub could not be asked about pull requests")


@pytest.mark.parametrize(
    ("variables", "offline", "said"),
    [
        ({}, False, "there is no repository there or no token"),
        ({"MLRELEASE_GITHUB_REPOSITORY": "no slash", "GITHUB_TOKEN": "t"}, False, "GitHub was not asked"),
        ({"GITHUB_TOKEN": "t"}, True, "not asked (--offline)"),
    ],
    ids=["no GitHub", "settings that are none", "offline"],
)
def test_without_a_github_the_subject_is_what_there_is(tmp_path, variables, offline, said):
    """And why is said once."""
    sources = made(tmp_path, variables, offline=offline)
    for _ in range(2):
        assert sources.pull(commit("f" * 40, "Pin (#12)")) == Pull(12, "git fffffffff")
        assert sources.pull(commit("f" * 40)) is None
    assert len(sources.notes) == 1
    assert said in sources.notes[0]


def test_an_environment_that_is_gone_cannot_be_asked_for_runs(tmp_path):
    """Its MLflow address stood in a file that is no more."""
    sources = made(tmp_path, {})
    git(sources.workspace.git.path, "commit", "--quiet", "--allow-empty", "--message", "Nothing")
    assert "not among the environments" in sources._registry("production")
