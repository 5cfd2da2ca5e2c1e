"""What every verb starts from: which repository, which environment, who asks, and where a person's artifacts lie."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import pytest
from mlrelease.commands.workspace import (
    FindingsError,
    cache_folder,
    environment_of,
    new_ulid,
    open_workspace,
)
from mlrelease.delivery.source import Tracked
from mlrelease.errors import Error, UsageError
from mlrelease.model.event import Held
from mlrelease.spec.load import load
from support.example import ENV, EXAMPLE, SVC, edited, replaced, second
from support.repositories import git, repository

SPEC = load(second())


@pytest.fixture
def clone(tmp_path):
    """The example, committed."""
    return repository(tmp_path / "clone", {path: data.decode() for path, data in EXAMPLE.items()})


# -- the environment ---------------------------------------------------------------------------------------------------


def test_the_environment_of_a_name():
    """Its own, whole."""
    assert environment_of(SPEC, "staging") is SPEC.environments["staging"]


@pytest.mark.parametrize("name", ["prod", "", "Production", "../production", "production "])
def test_a_name_that_is_none_is_usage_with_those_that_are(name):
    """Sorted."""
    with pytest.raises(UsageError) as misused:
        environment_of(SPEC, name)
    assert misused.value.message == f"there is no environment {name!r}"
    assert misused.value.hint == "environments here: production, staging"


def test_an_environment_with_findings_in_its_own_file_cannot_be_used():
    """Three of them with their places, all of them as data, and the verb that shows them."""
    broken = "\n".join(f"colour{number}: red" for number in range(5))
    spec = load(replaced(ENV, EXAMPLE[ENV] + broken.encode() + b"\n"))
    with pytest.raises(FindingsError) as invalid:
        environment_of(spec, "production")
    assert invalid.value.findings == spec.blocking("production")
    assert len(invalid.value.findings) == 5
    places = "; ".join(f"{f.place}: {f.message}" for f in invalid.value.findings[:3])
    assert invalid.value.message == f"production cannot be read: {places}"
    assert invalid.value.hint == "see them all: mlrelease validate --offline"


def test_a_service_with_findings_does_not_take_its_environment_along():
    """It blocks itself only."""
    spec = load(edited((SVC, "replicas: ", "replicas: -")))
    assert spec.findings
    assert environment_of(spec, "production").name == "production"


# -- the repository ----------------------------------------------------------------------------------------------------


def test_a_workspace_is_opened_from_any_folder_within(clone):
    """Its repository is the whole one, its branch the one checked out, its environments those of the files here."""
    found = open_workspace(str(clone / "environments" / "production"), run_id="r")
    assert (found.git.root(), found.branch, found.run_id) == (clone, Tracked("", "main"), "r")
    assert list(found.worktree_spec().environments) == ["production"]
    assert found.variables == dict(os.environ)


def test_a_relative_folder_is_one_of_here(clone, monkeypatch):
    """`-C .` and no `-C` at all."""
    monkeypatch.chdir(clone / "environments")
    assert open_workspace(".", run_id="r").git.root() == clone


@pytest.mark.parametrize("name", ["gone", "file"], ids=["nothing there", "a file"])
def test_a_folder_that_is_none_is_usage(tmp_path, name):
    """With what `-C` is."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as misused:
        open_workspace(str(tmp_path / name), run_id="r")
    assert (misused.value.message, misused.value.hint) == (
        f"{tmp_path / name}: no such folder", "-C names a folder inside a clone",
    )  # fmt: skip


def test_a_folder_outside_of_any_repository_is_named_whole(tmp_path, monkeypatch):
    """Not as a dot."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Error) as failed:
        open_workspace(".", run_id="r")
    assert failed.value.message == f"not a git repository: {tmp_path}"


def test_the_ledger_of_a_verb_spools_inside_the_git_folder(clone):
    """Where no checkout and no commit touches what waits for the git host."""
    git(clone, "remote", "add", "origin", str(clone.parent / "nowhere.git"))
    here = open_workspace(str(clone), run_id="r", branch="main")
    person = type(here)(here.git, Tracked("origin", "main"), here.actor, "r", {})
    assert person.ledger().append([Held("E1", "production", 1.0, "ada", "why")]).spooled
    assert [p.name for p in (clone / ".git/mlrelease/spool").iterdir()] != []
    assert git(clone, "status", "--porcelain") == ""
    assert [event.id for event in person.ledger().read("production").events] == ["E1"]


def test_ids_sort_by_their_time():
    """Files of the ledger are read in that order; no two are the same."""
    found = [new_ulid() for _ in range(50)]
    assert len(set(found)) == 50
    assert [one[:10] for one in found] == sorted(one[:10] for one in found)
    assert {len(one) for one in found} == {26}


# -- who asks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "config", "actor"),
    [
        ({}, {"user.name": "Ada", "user.email": "ada@example.com"}, "Ada <ada@example.com>"),
        ({"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "octocat"}, {"user.name": "Ada"}, "octocat"),
        ({"GITHUB_ACTIONS": "false", "GITHUB_ACTOR": "octocat"}, {"user.name": "Ada", "user.email": "a@b"}, "Ada <a@b>"),
        ({"GITHUB_ACTOR": "octocat"}, {"user.name": "Ada", "user.email": "a@b"}, "Ada <a@b>"),
        (
            {"GIT_COMMITTER_NAME": "Grace", "GIT_COMMITTER_EMAIL": "g@h"},
            {"user.name": "Ada", "user.email": "a@b"},
            "Grace <g@h>",
        ),
    ],
    ids=["git's identity", "GitHub's actor", "not in Actions", "a variable on a laptop", "git's variables"],
)
def test_the_actor_is_githubs_or_gits(clone, monkeypatch, variables, config, actor):
    """A variable that somebody exported on a laptop signs nothing in another's name."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for key, value in config.items():
        git(clone, "config", key, value)
    assert open_workspace(str(clone), run_id="r").actor == actor


@pytest.mark.parametrize(("config", "actor"), [({"user.name": "Ada"}, "Ada"), ({}, getpass.getuser())], ids=["name", "login"])
def test_without_an_address_or_a_name(clone, tmp_path, monkeypatch, config, actor):
    """The name alone; else who is logged in."""
    (tmp_path / "nobody").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    for key, value in config.items():
        git(clone, "config", key, value)
    assert open_workspace(str(clone), run_id="r").actor == actor


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"XDG_CACHE_HOME": "/data/cache"}, Path("/data/cache/mlrelease/artifacts")),
        ({"XDG_CACHE_HOME": ""}, None),
        ({}, None),
    ],
    ids=["where the variable says", "an empty variable", "without one"],
)
def test_a_persons_artifacts_lie_in_the_users_cache(variables, folder):
    """By the variables given, not by those of the process."""
    assert cache_folder(variables) == (folder or Path(os.environ["HOME"]) / ".cache/mlrelease/artifacts")
