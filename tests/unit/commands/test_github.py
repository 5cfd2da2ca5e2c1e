"""What verbs get when they ask for GitHub: a client, None, or a clear word about what is missing."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from mlrelease.commands.github import github_of, github_or_none, remote_url
from mlrelease.commands.workspace import open_workspace
from mlrelease.errors import Error
from support.github_server import running_github
from support.repositories import bare_with_clones, git, repository


@pytest.fixture
def workspace(tmp_path):
    """A clone of a bare repository; its remote is a path until a test says otherwise."""
    _, clone = bare_with_clones(tmp_path, "clone")
    return open_workspace(str(clone), run_id="R1")


def with_remote(workspace, url):
    """The same clone with another remote address."""
    git(workspace.git.path, "remote", "set-url", "origin", url)
    return workspace


def test_the_remote_and_a_token_are_enough(workspace):
    """On a laptop."""
    here = replace(with_remote(workspace, "git@github.com:acme/models.git"), variables={"GH_TOKEN": "t"})
    github = github_of(here)
    assert (github.place.name, github.source, github.is_app) == ("acme/models", "GH_TOKEN", False)
    assert github_or_none(here).place == github.place


def test_a_workflow_needs_nothing_but_its_variables(workspace, tmp_path):
    """And the client it gets works."""
    with running_github(tmp_path) as hub:
        hub.repository("acme/models")
        here = replace(workspace, variables=hub.environment_variables("acme/models"))
        assert github_of(here).get("")["full_name"] == "acme/models"


def test_a_repository_that_is_not_on_github_says_what_to_set(workspace):
    """A path, another git host."""
    here = replace(workspace, variables={"GITHUB_TOKEN": "t"})
    with pytest.raises(Error, match="is not on GitHub") as caught:
        github_of(here)
    assert "MLRELEASE_GITHUB_REPOSITORY=owner/name" in caught.value.hint
    assert github_or_none(here) is None


def test_a_repository_without_a_remote_is_not_on_github(tmp_path):
    """Only local."""
    here = open_workspace(str(repository(tmp_path / "alone")), run_id="R1")
    assert remote_url(here) == ""
    assert github_or_none(here) is None


def test_a_missing_token_says_what_to_set(workspace):
    """And which repository it is for."""
    here = replace(with_remote(workspace, "https://github.com/acme/models"), variables={})
    with pytest.raises(Error, match=r"there is no token for GitHub \(acme/models\)") as caught:
        github_of(here)
    assert "GITHUB_TOKEN" in caught.value.hint
    assert "docs/github.md" in caught.value.hint
    assert github_or_none(here) is None


@pytest.mark.parametrize("ask", [github_of, github_or_none])
def test_contradicting_settings_are_an_error_either_way(workspace, ask):
    """Half an App must not pass for no GitHub."""
    here = replace(with_remote(workspace, "https://github.com/acme/models"), variables={"MLRELEASE_APP_ID": "1"})
    with pytest.raises(Error, match="MLRELEASE_APP_KEY"):
        ask(here)


def test_a_token_in_the_remote_is_not_used_for_the_api(workspace):
    """It is git's; nor is it shown."""
    here = replace(with_remote(workspace, "https://x:s3cret@github.com/acme/models"), variables={})
    with pytest.raises(Error) as caught:
        github_of(here)
    assert "s3cret" not in caught.value.message + caught.value.hint


def test_nothing_heavy_is_imported_by_the_module_alone():
    """`mlrelease --help` pays for neither requests nor jwt."""
    code = "import sys, mlrelease.commands.github; print([m for m in ('requests', 'jwt', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
