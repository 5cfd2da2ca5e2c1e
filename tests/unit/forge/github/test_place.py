"""Where a repository is on GitHub, from variables or from the remote's address."""

from __future__ import annotations

import pytest
from mlrelease.errors import Error
from mlrelease.forge.github.place import Place, place_of

PUBLIC = Place("https://api.github.com", "acme", "models", "https://github.com/acme/models")
ENTERPRISE = Place("https://git.acme.example/api/v3", "acme", "models", "https://git.acme.example/acme/models")


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        pytest.param("https://github.com/acme/models.git", PUBLIC, id="https"),
        pytest.param("https://github.com/acme/models", PUBLIC, id="https without .git"),
        pytest.param("https://github.com/acme/models/", PUBLIC, id="https with a slash at its end"),
        pytest.param("https://www.github.com/acme/models", PUBLIC, id="https with www"),
        pytest.param("https://x-access-token:s3cret@github.com/acme/models.git", PUBLIC, id="https with a token"),
        pytest.param("https://GitHub.com/acme/models.git", PUBLIC, id="https in another case"),
        pytest.param("git@github.com:acme/models.git", PUBLIC, id="scp form"),
        pytest.param("github.com:acme/models.git", PUBLIC, id="scp form without a user"),
        pytest.param("org-123@github.com:acme/models", PUBLIC, id="scp form with another user"),
        pytest.param("ssh://git@github.com/acme/models.git", PUBLIC, id="ssh"),
        pytest.param("ssh://git@ssh.github.com:443/acme/models.git", PUBLIC, id="ssh over port 443"),
        pytest.param("git://github.com/acme/models.git", PUBLIC, id="git protocol"),
        pytest.param("https://git.acme.example/acme/models.git", ENTERPRISE, id="Enterprise by https"),
        pytest.param("git@git.acme.example:acme/models.git", ENTERPRISE, id="Enterprise by scp form"),
        pytest.param("ssh://git@git.acme.example:2222/acme/models.git", ENTERPRISE, id="Enterprise by ssh, on its port"),
        pytest.param(
            "https://git.acme.example:8443/acme/models",
            Place("https://git.acme.example:8443/api/v3", "acme", "models", "https://git.acme.example:8443/acme/models"),
            id="Enterprise by https on another port",
        ),
        pytest.param(
            "https://acme.ghe.com/acme/models",
            Place("https://api.acme.ghe.com", "acme", "models", "https://acme.ghe.com/acme/models"),
            id="Enterprise Cloud with data residency",
        ),
        pytest.param(
            "https://github.com/acme/m.o-d_els",
            Place(PUBLIC.api_url, "acme", "m.o-d_els", "https://github.com/acme/m.o-d_els"),
            id="odd name",
        ),
    ],
)
def test_a_remote_names_its_place(remote, expected):
    """Credentials in the address never become part of the place."""
    assert place_of({}, remote) == expected


@pytest.mark.parametrize(
    "remote",
    [
        pytest.param("", id="no remote"),
        pytest.param("/srv/git/models.git", id="a path"),
        pytest.param("../models.git", id="a relative path"),
        pytest.param("file:///srv/git/models.git", id="a file URL"),
        pytest.param("https://gitlab.com/acme/models.git", id="GitLab"),
        pytest.param("git@bitbucket.org:acme/models.git", id="Bitbucket"),
        pytest.param("http://127.0.0.1:8080/acme/models.git", id="this machine"),
        pytest.param("http://localhost:8080/acme/models.git", id="localhost"),
        pytest.param("work:acme/models.git", id="an alias of ~/.ssh/config"),
        pytest.param("https://github.com/acme", id="an owner without a repository"),
        pytest.param("https://github.com/acme/models/tree/main", id="a page"),
        pytest.param("https://github.com/acme/..", id="a way out"),
        pytest.param("https://github.com/ac me/models", id="a space"),
        pytest.param("https://[::1/acme/models", id="half an address"),
        pytest.param("https://github.com:port/acme/models", id="no port number"),
        pytest.param("C:\\models", id="a Windows path"),
    ],
)
def test_what_is_no_github_has_no_place(remote):
    """None, not an error: most verbs need no GitHub."""
    assert place_of({}, remote) is None


def test_a_workflow_says_where_it_is():
    """Its variables win over the remote, which in a fork's clone may be another."""
    variables = {
        "GITHUB_REPOSITORY": "acme/models",
        "GITHUB_API_URL": "https://git.acme.example/api/v3",
        "GITHUB_SERVER_URL": "https://git.acme.example",
    }
    assert place_of(variables, "https://github.com/ann/models") == ENTERPRISE


def test_our_own_variables_win_over_a_workflow_s():
    """A repository may be asked about from another one's workflow."""
    variables = {
        "GITHUB_REPOSITORY": "acme/caller",
        "GITHUB_API_URL": "https://api.github.com",
        "GITHUB_SERVER_URL": "https://github.com",
        "MLRELEASE_GITHUB_REPOSITORY": "acme/models",
        "MLRELEASE_GITHUB_API": "https://git.acme.example/api/v3/",
    }
    assert place_of(variables, "") == ENTERPRISE


def test_a_repository_without_an_api_is_on_the_public_one():
    """And its page is on github.com."""
    assert place_of({"MLRELEASE_GITHUB_REPOSITORY": "acme/models"}, "") == PUBLIC


def test_an_api_alone_takes_the_name_from_the_remote():
    """A proxy in front of GitHub is named without naming the repository again."""
    found = place_of({"MLRELEASE_GITHUB_API": "http://127.0.0.1:9/api"}, "git@github.com:acme/models.git")
    assert (found.api_url, found.name) == ("http://127.0.0.1:9/api", "acme/models")


def test_an_api_alone_without_a_remote_is_no_place():
    """There is no repository to ask about."""
    assert place_of({"MLRELEASE_GITHUB_API": "https://api.github.com"}, "/srv/git/models.git") is None


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        pytest.param({"GITHUB_REPOSITORY": "models"}, "GITHUB_REPOSITORY is not owner/name", id="no owner"),
        pytest.param({"MLRELEASE_GITHUB_REPOSITORY": "a/b/c"}, "MLRELEASE_GITHUB_REPOSITORY is not", id="three parts"),
        pytest.param({"MLRELEASE_GITHUB_REPOSITORY": "a/.."}, "MLRELEASE_GITHUB_REPOSITORY is not", id="a way out"),
        pytest.param(
            {"GITHUB_REPOSITORY": "acme/models", "GITHUB_API_URL": "api.github.com"},
            "GITHUB_API_URL is not an http",
            id="no scheme",
        ),
        pytest.param(
            {"MLRELEASE_GITHUB_REPOSITORY": "acme/models", "MLRELEASE_GITHUB_API": "https://[::1"},
            "MLRELEASE_GITHUB_API is not a URL",
            id="half an address",
        ),
    ],
)
def test_a_senseless_variable_is_named(variables, text):
    """With what it should look like; its value may hold credentials and is not shown."""
    with pytest.raises(Error, match=text) as caught:
        place_of(variables, "")
    assert caught.value.hint.startswith("set ")


def test_names_are_quoted_in_paths():
    """Whatever GitHub allows in a name one day, it stays one part of the path."""
    assert Place("https://api.github.com", "a b", "c/d", "").path == "/repos/a%20b/c%2Fd"
