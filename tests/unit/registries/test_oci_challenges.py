"""How image registries ask for a login, in every wording: where a password goes, and where it never goes."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.errors import Error
from mlrelease.http.errors import HttpError
from mlrelease.model.bundle import Digest, ImagePin
from mlrelease.registries.docker_config import Login, login
from mlrelease.registries.oci import ACCEPTED, Manifest, OciRegistry, Place, place_of
from support.faulty_server import answer, faulty, raw

DIGEST = Digest(f"sha256:{'a' * 64}")
PASSWORD = "hunter2-registry"
BASIC = f"Basic {base64.b64encode(f'ann:{PASSWORD}'.encode()).decode()}"
MANIFEST = "/v2/acme/serve/manifests/" + DIGEST


def asked(server):
    """Method, path without query, and what was sent to be let in."""
    return [(r.method, r.path.partition("?")[0], r.headers.get("Authorization")) for r in server.requests]


def challenging(header, *, token="t0ken"):  # noqa: S107 - no secret
    """A registry that wants a login by this header, `{}` in it for its own address, and hands out tokens itself."""

    def play(handler):
        if handler.path.startswith("/token"):
            answer({"token": token})(handler)
        elif "Authorization" in handler.headers:
            raw(b"", content_type="application/x", Docker_Content_Digest=DIGEST)(handler)
        else:
            host = f"http://{handler.headers['Host']}"
            raw(b"", 401, WWW_Authenticate=header.replace("{}", host))(handler)

    return faulty(play)


def manifest(server, credentials=("ann", PASSWORD)):
    return OciRegistry(Place(server.url.removeprefix("http://"), "acme/serve"), credentials).manifest(DIGEST)


BEARER = 'Bearer realm="{}/token",service="s",scope="repository:acme/serve:pull"'


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        pytest.param(BEARER, [None, BASIC, "Bearer t0ken"], id="a token"),
        pytest.param('bearer realm="{}/token"', [None, BASIC, "Bearer t0ken"], id="in small letters, with a realm alone"),
        pytest.param(BEARER + ', Basic realm="the registry"', [None, BASIC, "Bearer t0ken"], id="a token, or a password"),
        pytest.param('Basic realm="the registry"', [None, BASIC], id="a password"),
        pytest.param('BASIC realm="Sonatype"', [None, BASIC], id="a password, in capitals"),
    ],
)
def test_the_first_way_that_is_named_is_taken(header, sent):
    """A second one changes nothing of it."""
    with challenging(header) as server:
        assert manifest(server) == Manifest(DIGEST, "application/x", 0)
    assert [found for _, _, found in asked(server)] == sent


def test_a_token_is_asked_for_what_the_registry_said():
    """Scope and service as it named them; the scope of a pull where it names none."""
    for header, query in (
        (BEARER, "scope=repository%3Aacme%2Fserve%3Apull&service=s"),
        ('Bearer realm="{}/token",scope="x y"', "scope=x+y"),
        ('Bearer realm="{}/token"', "scope=repository%3Aacme%2Fserve%3Apull"),
    ):
        with challenging(header) as server:
            manifest(server)
        assert server.requests[1].path == f"/token?{query}"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Digest realm=x", 'Negotiate realm="{}"', 'Bearer realm=""', "Bearer realm={}"]
)
def test_a_way_that_is_not_known_is_the_401(header):
    """With what a person can do; the password goes nowhere."""
    with challenging(header) as server, pytest.raises(HttpError) as caught:
        manifest(server)
    assert caught.value.message == f"the image registry at {server.url} wants a login (401)"
    assert caught.value.hint == "docker login, with an account that may pull it"
    assert {sent for _, _, sent in asked(server)} == {None}


def test_a_realm_that_is_no_address_is_said():
    """Half an address, from a server that may be anything."""
    with challenging('Bearer realm="https://[::1/token"') as server, pytest.raises(Error) as caught:
        manifest(server)
    assert caught.value.message == f"{server.url} sends for a token to what is no address"
    assert caught.value.hint == "is it an image registry?"


@pytest.mark.parametrize(
    "said", [{}, {"token": ""}, {"token": None}, {"token": 7}, {"token": ["t"]}, {"access_token": ""}], ids=json.dumps
)
def test_an_answer_without_a_token_is_said(said):
    """Where it was asked for, without its query."""

    def play(handler):
        where = f'Bearer realm="http://{handler.headers["Host"]}/token?secret=1"'
        (answer(said) if handler.path.startswith("/token") else raw(b"", 401, WWW_Authenticate=where))(handler)

    with faulty(play) as server, pytest.raises(Error) as caught:
        manifest(server, None)
    assert (caught.value.message, caught.value.hint) == (f"{server.url}/token gave no token", "is it the registry's own?")


def test_a_token_under_its_newer_name_is_taken():
    """OAuth calls it `access_token`."""

    def play(handler):
        if handler.path.startswith("/token"):
            answer({"access_token": "new"})(handler)
        elif handler.headers.get("Authorization") == "Bearer new":
            raw(b"")(handler)
        else:
            raw(b"", 401, WWW_Authenticate=f'Bearer realm="http://{handler.headers["Host"]}/token"')(handler)

    with faulty(play) as server:
        assert manifest(server, None) is not None


def test_every_question_names_the_forms_that_are_accepted():
    """Else a registry translates the manifest, and its digest is another."""
    with faulty(raw(b"", content_type="a\x01b", Docker_Content_Digest=DIGEST)) as server:
        assert manifest(server).media_type == "a b"
    (request,) = server.requests
    assert (request.method, request.path, request.headers["Accept"]) == ("HEAD", MANIFEST, ACCEPTED)


@pytest.mark.parametrize("said", ["", "sha256:b", f"sha512:{'a' * 64}", DIGEST.upper()])
def test_another_digest_in_the_answer_is_shown(said):
    """On one line."""
    with faulty(raw(b"", Docker_Content_Digest=said)) as server, pytest.raises(Error) as caught:
        manifest(server)
    assert caught.value.message == f"{server.url} answers for {DIGEST} with {said}"
    assert caught.value.hint == "is a proxy in front of the registry?"


PARTS = st.text("abc-z0", min_size=1, max_size=5)


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(
        st.just(""), PARTS.map(lambda p: f"{p}.io"), st.just("localhost"), st.tuples(PARTS).map(lambda p: f"{p[0]}:5000")
    ),
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from(["", ":1", ":v1.2"]),
)
def test_an_image_is_found_where_its_name_says(registry, path, tag):
    """The tag is no part of the place, the registry none of the repository; one part alone is Docker's own."""
    name = "/".join([*([registry] if registry else []), *path])
    place = place_of(ImagePin(f"{name}{tag}@{DIGEST}"))
    expected = "/".join(path) if registry or len(path) > 1 else f"library/{path[0]}"
    assert (place.host, place.repository) == (registry or "registry-1.docker.io", expected)
    assert place.url.startswith("http://") is (registry == "localhost")


@pytest.mark.parametrize(
    ("host", "here"),
    [
        *((host, True) for host in ("127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "localhost:1", "LOCALHOST")),
        *((host, False) for host in ("localhost.evil.com", "127.0.0.1.evil.com", "10.0.0.1", "[::2]", "registry")),
    ],
)
def test_plain_http_is_for_this_machine_alone(host, here):
    """A name that only looks like it may be anybody's."""
    assert Place(host, "x").url == f"{'http' if here else 'https'}://{host}"


# ---- what `docker login` left


def kept(folder, **config):
    (folder / "config.json").write_text(json.dumps(config))
    return {"DOCKER_CONFIG": str(folder)}


def entry(text):
    return {"auth": base64.b64encode(text.encode()).decode()}


def test_a_password_in_the_file_comes_before_a_helper(tmp_path):
    """And the host's own name before its address."""
    auths = {"https://ghcr.io": entry("b:2"), "ghcr.io": entry("a:1")}
    assert login("ghcr.io", kept(tmp_path, auths=auths, credsStore="desktop")) == Login(("a", "1"))
    assert login("ghcr.io", kept(tmp_path, auths={"https://ghcr.io": entry("b:2")}, credHelpers={"ghcr.io": "x"})) == Login(
        ("b", "2")
    )


@pytest.mark.parametrize("name", ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"])
def test_docker_hub_is_known_by_each_of_its_names(tmp_path, name):
    """For a password as for a helper."""
    assert login("registry-1.docker.io", kept(tmp_path, auths={name: entry("a:1")})) == Login(("a", "1"))
    assert login("registry-1.docker.io", kept(tmp_path, credHelpers={name: "pass"})) == Login(helper="pass")
    assert login("ghcr.io", kept(tmp_path, auths={name: entry("a:1")})) == Login()


@pytest.mark.parametrize(
    "config",
    [
        *({"auths": []}, {"auths": {"ghcr.io": "x"}}, {"auths": {"ghcr.io": {"auth": ""}}}),
        *({"credHelpers": ["x"]}, {"credsStore": ""}, {"credsStore": None}),
        {"auths": {"ghcr.io": {"auth": base64.b64encode(b"\xff:x").decode()}}},
    ],
    ids=json.dumps,
)
def test_a_configuration_of_another_shape_knows_nothing(tmp_path, config):
    """It is Docker's file: what is not understood is not judged."""
    assert login("ghcr.io", kept(tmp_path, **config)) == Login()


def test_a_name_without_a_password_is_a_login(tmp_path):
    """Some registries take a token as the name."""
    assert login("ghcr.io", kept(tmp_path, auths={"ghcr.io": entry("token:")})) == Login(("token", ""))
