"""Credentials: which variable counts, and the tokens of a GitHub App."""

from __future__ import annotations

import threading

import jwt
import pytest
from mlrelease.errors import Error
from mlrelease.forge.github.auth import App, InstallationAuth, Token, app_jwt, credentials_of
from mlrelease.forge.github.client import GitHub
from mlrelease.forge.github.errors import CredentialsError, ForbiddenError
from mlrelease.forge.github.place import Place
from mlrelease.model.when import from_iso
from support.github_desk import desk

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("variables", "source"),
    [
        pytest.param({"GITHUB_TOKEN": "a"}, "GITHUB_TOKEN", id="a workflow's"),
        pytest.param({"GH_TOKEN": "a"}, "GH_TOKEN", id="the gh command's"),
        pytest.param({"GH_TOKEN": "a", "GITHUB_TOKEN": "b"}, "GITHUB_TOKEN", id="a workflow's before gh's"),
        pytest.param({"GITHUB_TOKEN": "b", "MLRELEASE_GITHUB_TOKEN": "c"}, "MLRELEASE_GITHUB_TOKEN", id="our own first"),
        pytest.param({"GITHUB_TOKEN": "b", "MLRELEASE_GITHUB_TOKEN": " "}, "GITHUB_TOKEN", id="an empty one is none"),
        pytest.param(
            {"GITHUB_TOKEN": "b", "MLRELEASE_APP_ID": "1", "MLRELEASE_APP_KEY": "k"},
            "MLRELEASE_APP_KEY",
            id="an App before a workflow's",
        ),
        pytest.param(
            {"MLRELEASE_GITHUB_TOKEN": "b", "MLRELEASE_APP_ID": "1", "MLRELEASE_APP_KEY": "k"},
            "MLRELEASE_GITHUB_TOKEN",
            id="our own token before an App",
        ),
    ],
)
def test_the_variable_that_counts(variables, source):
    """What was set for this tool wins over what is there for all."""
    assert credentials_of(variables).source == source


@pytest.mark.parametrize("variables", [{}, {"GITHUB_TOKEN": ""}, {"MLRELEASE_APP_ID": "", "MLRELEASE_APP_KEY": ""}], ids=repr)
def test_no_variable_is_no_credentials(variables):
    """A missing secret leaves an empty variable in a workflow."""
    assert credentials_of(variables) is None


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        pytest.param({"MLRELEASE_APP_ID": "1"}, "MLRELEASE_APP_KEY or MLRELEASE_APP_KEY_FILE", id="an id alone"),
        pytest.param({"MLRELEASE_APP_KEY": "k"}, "MLRELEASE_APP_ID", id="a key alone"),
        pytest.param(
            {"MLRELEASE_APP_KEY_FILE": "/k", "GITHUB_TOKEN": "t"}, "MLRELEASE_APP_ID", id="a file alone, beside a token"
        ),
    ],
)
def test_half_an_app_is_an_error(variables, missing):
    """Falling back to another token in silence would write as somebody else."""
    with pytest.raises(Error, match=f"{missing} is not set"):
        credentials_of(variables)


def test_the_key_may_lie_in_a_file(tmp_path):
    """With its line breaks."""
    (tmp_path / "key.pem").write_text("-----BEGIN\nx\n")
    found = credentials_of({"MLRELEASE_APP_ID": "1", "MLRELEASE_APP_KEY_FILE": str(tmp_path / "key.pem")})
    assert found == App("MLRELEASE_APP_KEY_FILE", "1", "-----BEGIN\nx\n")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        pytest.param(lambda p: None, "no such file", id="missing"),
        pytest.param(lambda p: p.mkdir(), "is a directory", id="a folder"),
        pytest.param(lambda p: p.write_bytes(b"\xff\xfe\xff"), "not text", id="no text"),
    ],
)
def test_a_key_file_that_cannot_be_read_is_named(tmp_path, make, text):
    """The path is shown, nothing of the file."""
    make(tmp_path / "key.pem")
    with pytest.raises(Error, match=text) as caught:
        credentials_of({"MLRELEASE_APP_ID": "1", "MLRELEASE_APP_KEY_FILE": str(tmp_path / "key.pem")})
    assert caught.value.where == str(tmp_path / "key.pem")


def test_a_key_on_one_line_gets_its_line_breaks_back():
    """Secret stores keep them as two characters."""
    found = credentials_of({"MLRELEASE_APP_ID": "1", "MLRELEASE_APP_KEY": r"-----BEGIN\nx\n-----END"})
    assert found.key == "-----BEGIN\nx\n-----END"


def test_credentials_show_nothing_of_themselves():
    """Neither in a traceback's locals nor in a log."""
    assert "s3cret" not in repr(Token("GITHUB_TOKEN", "s3cret")) + repr(App("MLRELEASE_APP_KEY", "1", "s3cret"))


def test_a_wrong_token_is_reported_with_its_variable(hub, at):
    """GitHub's words, the variable, and nothing of the token."""
    github = GitHub(at.github.place, Token("GH_TOKEN", "ghp_wrong"), now=hub.now)
    with pytest.raises(CredentialsError, match=r"refused the credentials in GH_TOKEN \(401\): Bad credentials") as caught:
        github.get("")
    assert "ghp_wrong" not in caught.value.message + caught.value.hint + caught.value.where
    assert "GH_TOKEN" in caught.value.hint


# -- Apps ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def app(hub, at):
    """A GitHub App installed in the repository."""
    return hub.make_app("mlrelease-bot", [at.name])


def as_app(at, app, *, now=None, key=None, app_id=None) -> GitHub:
    """A client that speaks as the App."""
    credentials = App("MLRELEASE_APP_KEY", app_id or app.app_id, key or app.private_key)
    return GitHub(at.github.place, credentials, now=now or at.hub.now)


def test_the_proof_is_short_lived_and_signed(app):
    """At most ten minutes, from a minute ago, as GitHub asks."""
    claims = jwt.decode(
        app_jwt(App("X", app.app_id, app.private_key), NOW),
        app.public_key,
        algorithms=["RS256"],
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims == {"iat": NOW - 60, "exp": NOW + 540, "iss": app.app_id}


def test_an_app_asks_with_the_token_of_its_installation(at, app):
    """One token for many calls, limited to this repository."""
    github = as_app(at, app)
    assert [github.get("")["full_name"] for _ in range(3)] == [at.name] * 3
    assert app.tokens_made == 1
    asked = [call.body for call in at.hub.calls if call.path.endswith("/access_tokens")]
    assert asked[-1] == {"repositories": [at.github.place.repo]}


def test_an_app_writes_under_its_own_name(at, app):
    """`/user` is closed to it, so that GraphQL says it, asked once."""
    github = as_app(at, app)
    assert (github.login, github.login) == ("mlrelease-bot[bot]", "mlrelease-bot[bot]")
    assert sum(call.path == "/graphql" and call.login == github.login for call in at.hub.calls) == 1


def test_a_token_is_renewed_before_it_expires(tmp_path):
    """Five minutes before; a call that is under way never has a dead one."""
    from support.github_server import running_github

    clock = [NOW]
    with running_github(tmp_path, now=lambda: clock[0]) as hub:
        here = desk(hub)
        app = hub.make_app("bot", [here.name])
        github = as_app(here, app, now=lambda: clock[0])
        for moment, made in ((0, 1), (3299, 1), (3301, 2), (3302, 2), (6602, 3), (20_000, 4)):
            clock[0] = NOW + moment
            assert github.get("")["full_name"] == here.name
            assert app.tokens_made == made, moment


def test_a_token_that_was_revoked_is_replaced_once(at, app):
    """The next call gets a fresh one."""
    github = as_app(at, app)
    github.get("")
    for token in [t for t, account in at.hub.accounts.items() if account.app is app]:
        at.hub.revoke(token)
    assert github.get("")["full_name"] == at.name
    assert app.tokens_made == 2


def test_an_app_that_github_does_not_know_is_refused_in_the_end(at, app):
    """Renewing is tried once, not for ever."""
    other = at.hub.make_app("other", [at.name])
    with pytest.raises(CredentialsError, match="MLRELEASE_APP_KEY"):
        as_app(at, app, key=other.private_key).get("")


def test_many_threads_ask_for_one_token(at, app):
    """Two cores, sixteen calls, one token."""
    github = as_app(at, app)
    threads = [threading.Thread(target=github.get, args=("",)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert app.tokens_made == 1


def test_an_app_that_is_not_installed_says_so(at):
    """With the place where it is installed."""
    app = at.hub.make_app("elsewhere", ["acme/other"])
    at.hub.fault(f"GET /repos/{at.name}/installation", 404)
    with pytest.raises(Error, match=f"the GitHub App {app.app_id} is not installed in {at.name}") as caught:
        as_app(at, app).get("")
    assert "Install App" in caught.value.hint


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("not a key", id="no PEM"),
        pytest.param("-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n", id="damaged"),
    ],
)
def test_a_key_that_is_none_is_named_and_not_shown(at, app, key):
    """Nothing of it in the error, nor in what caused it."""
    with pytest.raises(Error, match="MLRELEASE_APP_KEY holds no RSA private key") as caught:
        as_app(at, app, key=key).get("")
    assert key not in caught.value.message + caught.value.hint
    assert caught.value.__cause__ is None


def test_an_elliptic_key_is_no_rsa_key(at, app):
    """GitHub's Apps have RSA keys."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(Error, match="holds no RSA private key"):
        as_app(at, app, key=pem.decode()).get("")


def test_an_app_is_held_to_its_permissions(at):
    """What it may not, it may not; the hint names the permission."""
    app = at.hub.make_app("reader", [at.name], permissions={"contents": "read"})
    with pytest.raises(ForbiddenError) as caught:
        as_app(at, app).post("issues", {"title": "x"})
    assert "issues=write" in caught.value.hint


def test_the_token_comes_from_an_enterprise_server_too(at, app):
    """Under its own path."""
    place = Place(at.hub.enterprise_url, at.github.place.owner, at.github.place.repo, "")
    github = GitHub(place, App("MLRELEASE_APP_KEY", app.app_id, app.private_key), now=at.hub.now)
    assert github.get("")["full_name"] == at.name
    assert github.login == "mlrelease-bot[bot]"


def test_an_expiry_is_read_as_github_writes_it(at, app):
    """Whole seconds, `Z`."""
    auth = InstallationAuth(App("K", app.app_id, app.private_key), at.github.place, now=at.hub.now)
    auth._current()
    assert abs(auth._until - at.hub.now() - 3600) < 60
    assert from_iso("2026-11-21T11:00:00Z") == 1795258800.0
