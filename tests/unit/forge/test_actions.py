"""In a GitHub Actions job git gets the job's token and an author; elsewhere nothing; the token stands in no command line."""

from __future__ import annotations

import subprocess
import sys

import pytest
from mlrelease.forge.actions import BOT, BOT_ADDRESS, git_settings
from mlrelease.forge.command import environment
from mlrelease.forge.git import Git
from support.repositories import git

JOB = {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.example.com", "GITHUB_TOKEN": "s3cret"}


def asked(tmp_path, variables, *, host="github.example.com", kind="get"):
    """What git's credential machinery answers for a host, with no other helper on this machine."""
    done = subprocess.run(
        ["git", "credential", "fill" if kind == "get" else kind],
        input=f"protocol=https\nhost={host}\n\n",
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", **environment(variables, {})},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        cwd=tmp_path,
    )
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    "variables",
    [{}, {"GITHUB_TOKEN": "s3cret"}, {"GITHUB_ACTIONS": "false", "GITHUB_TOKEN": "s3cret"}],
    ids=["on a laptop", "on a laptop with a token", "where Actions are said to be off"],
)
def test_outside_of_a_job_nothing_is_set(variables):
    """A person's own key and helper count there."""
    assert git_settings(variables, python=sys.executable) == {}


@pytest.mark.parametrize(
    ("variables", "password"),
    [
        (JOB, "s3cret"),
        (JOB | {"GH_TOKEN": "other"}, "s3cret"),
        (JOB | {"MLRELEASE_GITHUB_TOKEN": "own"}, "own"),
        (JOB | {"GITHUB_TOKEN": "", "GH_TOKEN": "other"}, "other"),
        (JOB | {"GITHUB_TOKEN": 'a"b $(c) `d`'}, 'a"b $(c) `d`'),
    ],
    ids=["the job's", "before GH_TOKEN", "our own first", "an empty one is none", "characters of a shell stay characters"],
)
def test_git_gets_the_token_for_the_jobs_server(tmp_path, variables, password):
    """Asked through git's own credential machinery."""
    found = asked(tmp_path, variables)
    assert (found["username"], found["password"]) == ("x-access-token", password)


def test_another_server_does_not_get_it(tmp_path):
    """A remote that a pull request names is not told the token."""
    assert "password" not in asked(tmp_path, JOB, host="evil.example.com")


def test_without_a_token_there_is_no_helper(tmp_path):
    """A step that was given none has none."""
    settings = git_settings({"GITHUB_ACTIONS": "true"}, python=sys.executable)
    assert not any("credential" in value for value in settings.values())
    assert "password" not in asked(tmp_path, {"GITHUB_ACTIONS": "true"}, host="github.com")


def test_the_token_stands_in_no_setting():
    """Settings show in `git config --list` and in traces: they hold the variable's name only."""
    assert not any("s3cret" in value for value in git_settings(JOB, python=sys.executable).values())


def test_settings_that_are_there_stay():
    """A job's own come first, ours after them."""
    there = {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "a.b", "GIT_CONFIG_KEY_1": "c.d"}
    found = git_settings(JOB | there, python=sys.executable)
    assert found["GIT_CONFIG_COUNT"] == "5"
    assert sorted(name for name in found if "KEY" in name) == [f"GIT_CONFIG_KEY_{number}" for number in (2, 3, 4)]
    assert {name: environment(JOB | there, {})[name] for name in there if "KEY" in name} == {
        name: value for name, value in there.items() if "KEY" in name
    }


def test_a_count_that_is_none_is_taken_as_zero():
    """Not a traceback because of a variable."""
    assert git_settings(JOB | {"GIT_CONFIG_COUNT": "many"}, python=sys.executable)["GIT_CONFIG_COUNT"] == "3"


def test_a_commit_in_a_job_has_the_bots_name(tmp_path, monkeypatch):
    """A runner has no identity of its own, and git refuses to commit without."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "r")
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    Git(tmp_path / "r").commit_paths({"file": b"x"}, "Say\n")
    assert git(tmp_path / "r", "log", "-1", "--format=%an <%ae>") == f"{BOT} <{BOT_ADDRESS}>"


def test_a_name_that_the_job_says_itself_wins(tmp_path, monkeypatch):
    """An App commits as itself."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "r")
    said = {f"GIT_{who}_{what}": "bot@acme" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for name, value in {**JOB, **said}.items():
        monkeypatch.setenv(name, value)
    Git(tmp_path / "r").commit_paths({"file": b"x"}, "Say\n")
    assert git(tmp_path / "r", "log", "-1", "--format=%an") == "bot@acme"


@pytest.fixture
def app(tmp_path):
    """A job of a repository in which an App is installed; the local GitHub, and the job's variables."""
    from support.github_server import running_github

    with running_github(tmp_path) as hub:
        hub.repository("acme/models")
        made = hub.make_app("release-bot", ["acme/models"])
        job = {"GITHUB_ACTIONS": "true", **hub.environment_variables("acme/models")}
        yield hub, job | {"MLRELEASE_APP_ID": made.app_id, "MLRELEASE_APP_KEY": made.private_key}


def filled(tmp_path, hub, variables):
    """What git is answered for the local GitHub, and what was said."""
    host = hub.html_url.removeprefix("http://")
    done = subprocess.run(
        ["git", "credential", "fill"],
        input=f"protocol=http\nhost={host}\n\n",
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", **environment(variables, {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines()), done.stderr


def test_git_pushes_as_the_app_where_there_is_one(app, tmp_path):
    """The token that git gets is the installation's, before the job's own: what it pushes starts workflows."""
    hub, job = app
    found, _ = filled(tmp_path, hub, job)
    account = hub.accounts[found["password"]]
    assert (found["username"], account.kind) == ("x-access-token", "app")
    assert found["password"] != job["GITHUB_TOKEN"]


def test_an_app_that_is_not_installed_gives_no_token(app, tmp_path):
    """It is said, git goes on without, and the key is in nothing that was said."""
    hub, job = app
    next(iter(hub.apps.values())).repositories.clear()
    found, said = filled(tmp_path, hub, job)
    assert "password" not in found
    assert "is not installed in acme/models" in said
    assert "PRIVATE KEY" not in said


@pytest.mark.parametrize("arguments", [["store"], ["erase"], []], ids=["store", "erase", "nothing"])
def test_the_helper_keeps_nothing(arguments, capsys):
    """Git offers what worked for keeping; it is not taken, and nobody is asked."""
    from mlrelease.forge.github.credential import main

    assert main(arguments, {}) == 0
    assert capsys.readouterr() == ("", "")


def test_the_helper_without_an_app_says_so(capsys):
    """A variable is missing: no traceback into git's output."""
    from mlrelease.forge.github.credential import main

    assert main(["get"], {}) == 1
    assert capsys.readouterr() == ("", "mlrelease: there is no GitHub App here\n")
