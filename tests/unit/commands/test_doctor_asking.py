"""Asking GitHub: each question once for all who need its answer, failures too; whom there is to ask."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from mlrelease.commands.doctor import verb
from mlrelease.commands.doctor.checks import State, ok
from mlrelease.commands.doctor.github.asking import KINDS, asked_of, check, refused
from mlrelease.errors import Error
from mlrelease.forge.github.auth import App, Token
from mlrelease.forge.github.errors import ForbiddenError
from mlrelease.forge.github.place import Place
from support.faulty_server import answer, faulty
from support.newcomer import newcomer
from support.repositories import git

TOKEN = "github_pat_abc"


def asked(url, credentials=None):
    """GitHub at that address."""
    place = Place(url, "acme", "models", f"{url}/acme/models")
    return asked_of(place, credentials or Token("GITHUB_TOKEN", TOKEN), "main", now=lambda: 1_790_000_000.0)


@pytest.fixture
def github():
    """A GitHub that has the repository, and nothing else."""
    with faulty(routes={"/repos/acme/models": answer({"default_branch": "main"})}) as server:
        yield asked(server.url)


def test_whoever_comes_later_waits_for_the_first(github):
    """Eight threads, one question, one answer."""
    begun, go, count = threading.Barrier(8, timeout=30), threading.Event(), []

    def question():
        count.append(1)
        assert go.wait(30)
        return "the answer"

    found = []

    def ask():
        begun.wait()
        found.append(github.once("a key", question))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(30)
    assert found == ["the answer"] * 8
    assert len(count) == 1


def test_a_failure_is_kept_too(github):
    """It is raised to each who asks, and nobody tries again."""
    count = []

    def question():
        count.append(1)
        raise Error("no", hint="do")

    for _ in range(3):
        with pytest.raises(Error, match="no"):
            github.once("a key", question)
    assert len(count) == 1


def test_questions_may_ask_others(github):
    """Under keys of their own."""
    assert github.once("outer", lambda: github.once("inner", lambda: 1) + 1) == 2


def test_a_question_that_is_refused_says_what_it_takes(github):
    """By the permission of that very check."""

    def ask():
        raise ForbiddenError(403, "", "denied")

    found = check(github, "repository-secrets", ask).ask()
    assert found == refused("repository-secrets", "GitHub does not let this token look (403)")
    assert found.fix == "a token with Secrets: read"


def test_a_plan_without_rules_is_no_lack_of_rights(github):
    """GitHub answers 403 as well, in other words."""

    def ask():
        raise ForbiddenError(403, "", "GitHub denies it (403): Upgrade to GitHub Pro or make this repository public")

    found = check(github, "branch-reviews", ask).ask()
    assert (found.state, "plan has no rules for private repositories" in found.what) == (State.BAD, True)


def test_any_other_error_is_unknown_with_a_way_out(github):
    """Nothing is concluded from it."""

    def ask():
        raise Error("odd")

    found = check(github, "workflows", ask).ask()
    assert (found.state, found.what) == (State.UNKNOWN, "odd")
    assert found.fix
    assert check(github, "workflows", lambda: ok("well")).ask() == ok("well")


@pytest.mark.parametrize(
    ("credentials", "kind"),
    [
        *((Token("X", f"{start}abc"), said) for start, said in KINDS.items()),
        (Token("X", "0123456789abcdef"), "a token"),
        (App("MLRELEASE_APP_KEY", "7", "PEM"), "an App's key"),
    ],
    ids=[*KINDS, "another form", "an App"],
)
def test_what_a_token_is(credentials, kind):
    """By how it begins; the rest of it is never looked at."""
    assert asked("http://127.0.0.1:1", credentials).kind == kind


@pytest.mark.parametrize(
    ("api", "is_server"),
    [
        ("https://api.github.com", False),
        ("https://api.acme.ghe.com", False),
        ("https://github.acme.com/api/v3", True),
    ],
)
def test_which_github_has_plans(api, is_server):
    """All but a server of one's own."""
    assert asked(api).is_enterprise_server is is_server


@pytest.mark.parametrize(
    ("remote", "variables", "name", "reason", "fix"),
    [
        ("", {}, "", "the remote is not on GitHub", ""),
        ("https://gitlab.com/acme/models.git", {"GITHUB_TOKEN": TOKEN}, "", "the remote is not on GitHub", ""),
        ("git@github.com:acme/models.git", {}, "acme/models", "there is no token for acme/models", "MLRELEASE_APP_ID"),
        ("git@github.com:acme/models.git", {"GITHUB_TOKEN": " "}, "acme/models", "there is no token", "GITHUB_TOKEN"),
        ("git@github.com:acme/models.git", {"MLRELEASE_APP_KEY": "x"}, "", "MLRELEASE_APP_ID is not set", "MLRELEASE_APP_ID"),
        ("", {"MLRELEASE_GITHUB_REPOSITORY": "acme"}, "", "is not owner/name", "acme/models"),
    ],
    ids=["no remote", "another git host", "no token", "an empty token", "a key without its App", "no owner"],
)
def test_why_nobody_is_asked(tmp_path, remote, variables, name, reason, fix):
    """Where there is no GitHub, no token, or half of something."""
    made = newcomer(tmp_path)
    if remote:
        git(made.root, "remote", "add", "origin", remote)
        made = replace(made, branch=replace(made.branch, remote="origin"))
    reach = verb.github(replace(made, variables=variables))
    assert (reach.asked, reach.name) == (None, name)
    assert reason in reach.reason
    assert fix in reach.fix
    assert TOKEN not in f"{reach.reason}{reach.fix}"


@pytest.mark.parametrize(
    ("remote", "api"),
    [
        ("git@github.com:acme/models.git", "https://api.github.com"),
        ("https://github.acme.com/acme/models", "https://github.acme.com/api/v3"),
    ],
    ids=["GitHub", "an Enterprise server"],
)
def test_whom_to_ask(tmp_path, remote, api):
    """By the remote; with a token nothing else has to be set, and nothing is asked yet."""
    made = newcomer(tmp_path)
    git(made.root, "remote", "add", "origin", remote)
    made = replace(made, branch=replace(made.branch, remote="origin"), variables={"GH_TOKEN": TOKEN})
    reach = verb.github(made)
    assert reach.asked is not None
    assert (reach.name, reach.asked.github.where, reach.asked.branch) == ("acme/models", api, "main")
    assert reach.asked.page("settings/rules").endswith("/acme/models/settings/rules")
