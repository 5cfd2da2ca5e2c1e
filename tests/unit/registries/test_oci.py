"""The read half of an image registry: where an image lies, what is there, and every way to be let in or kept out."""

from __future__ import annotations

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.http.errors import HttpError
from mlrelease.model.bundle import Digest, ImagePin
from mlrelease.registries.oci import DOCKER_HUB, Manifest, OciRegistry, Place, place_of
from support.faulty_server import closed_port
from support.oci_server import DIGEST, MANIFEST, NAME, PASSWORD, TOKEN, running_registry

MISSING = Digest(f"sha256:{'0' * 64}")


def registry(server, credentials=None, repository="acme/serve"):
    return OciRegistry(Place(server.host, repository), credentials)


@pytest.mark.parametrize(
    ("reference", "host", "repository", "url"),
    [
        ("ghcr.io/acme/serve:1.2.0", "ghcr.io", "acme/serve", "https://ghcr.io"),
        ("registry.acme.com:5000/serve:1.2.0", "registry.acme.com:5000", "serve", "https://registry.acme.com:5000"),
        ("localhost/serve:1", "localhost", "serve", "http://localhost"),
        ("localhost:5000/a/b/c:1", "localhost:5000", "a/b/c", "http://localhost:5000"),
        ("127.0.0.1:5000/serve:1", "127.0.0.1:5000", "serve", "http://127.0.0.1:5000"),
        ("acme/serve:1.2.0", DOCKER_HUB, "acme/serve", f"https://{DOCKER_HUB}"),
        ("redis:7", DOCKER_HUB, "library/redis", f"https://{DOCKER_HUB}"),
        ("docker.io/acme/serve:1", DOCKER_HUB, "acme/serve", f"https://{DOCKER_HUB}"),
        ("127.evil.com/serve:1", "127.evil.com", "serve", "https://127.evil.com"),
    ],
    ids=[
        "a registry with a dot",
        "a registry with a port",
        "this machine by name",
        "this machine with a port and folders",
        "this machine by number",
        "an account of Docker Hub",
        "an image of Docker's own",
        "Docker Hub by its name",
        "a name that only begins like a number",
    ],
)
def test_where_an_image_lies(reference, host, repository, url):
    """As Docker reads it; https everywhere but on this machine."""
    place = place_of(ImagePin(f"{reference}@{DIGEST}"))
    assert (place.host, place.repository, place.url) == (host, repository, url)


def test_a_digest_that_is_there():
    """One question, without credentials."""
    with running_registry() as server:
        found = registry(server).manifest(Digest(DIGEST))
        assert found == Manifest(Digest(DIGEST), "application/vnd.oci.image.manifest.v1+json", len(MANIFEST))
        assert server.requests == [f"HEAD /v2/acme/serve/manifests/{DIGEST} –"]


@pytest.mark.parametrize(
    ("repository", "digest"),
    [("acme/serve", MISSING), ("acme/other", Digest(DIGEST))],
    ids=["another digest", "another repository"],
)
def test_what_is_not_there_is_a_value(repository, digest):
    """None, not an error: the pin is wrong, the registry is well."""
    with running_registry() as server:
        assert registry(server, repository=repository).manifest(digest) is None


def test_a_token_is_fetched_where_the_registry_sends_us():
    """Anonymously: the question, the token, the question again."""
    with running_registry(login="token") as server:
        assert registry(server).manifest(Digest(DIGEST)) is not None
        assert [line.split()[0] + " " + line.split()[2] for line in server.requests] == ["HEAD –", "GET –", "HEAD Bearer"]


def test_a_token_for_name_and_password():
    """They go to the token service, never to the registry itself."""
    with running_registry(login="password") as server:
        assert registry(server, (NAME, PASSWORD)).manifest(Digest(DIGEST)) is not None
        assert [line.split()[0] + " " + line.split()[2] for line in server.requests] == ["HEAD –", "GET Basic", "HEAD Bearer"]


def test_name_and_password_directly():
    """Where the registry asks for them itself."""
    with running_registry(login="basic") as server:
        assert registry(server, (NAME, PASSWORD)).manifest(Digest(DIGEST)) is not None


@pytest.mark.parametrize(
    ("login", "credentials"),
    [
        ("basic", None),
        ("basic", (NAME, "wrong")),
        ("password", None),
        ("password", (NAME, "wrong")),
        ("nowhere", (NAME, PASSWORD)),
    ],
    ids=[
        "nothing to send",
        "a wrong password",
        "no password for a token",
        "a wrong password for a token",
        "no way is named",
    ],
)
def test_who_is_not_let_in_hears_why(login, credentials):
    """401 with what to do; nothing secret in it."""
    with running_registry(login=login) as server, pytest.raises(HttpError, match="401") as caught:
        registry(server, credentials).manifest(Digest(DIGEST))
    assert caught.value.status == 401
    assert caught.value.hint == "docker login, with an account that may pull it"
    assert PASSWORD not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize(("status", "words"), [(403, "denies access"), (405, "answered 405")])
def test_a_refusal_is_said(status, words):
    """Not the same as not being there."""
    with running_registry() as server:
        server.statuses += [status]
        with pytest.raises(HttpError, match=words) as caught:
            registry(server).manifest(Digest(DIGEST))
    assert caught.value.status == status


def test_an_answer_of_its_own_making_is_tried_again():
    """A registry that stumbles twice still answers."""
    with running_registry() as server:
        server.statuses += [503, 500]
        assert registry(server).manifest(Digest(DIGEST)) is not None
        assert len(server.requests) == 3


def test_a_registry_that_is_away():
    """Unavailable: nothing is concluded about the image."""
    with closed_port() as port, pytest.raises(UnavailableError, match="did not answer"):
        OciRegistry(Place(f"127.0.0.1:{port}", "acme/serve")).manifest(Digest(DIGEST))


def test_another_digest_in_the_answer_is_refused():
    """A proxy that translates manifests, or something that only looks like a registry."""
    with running_registry(answered_digest=MISSING) as server, pytest.raises(Error, match="answers for sha256"):
        registry(server).manifest(Digest(DIGEST))


def test_a_token_service_without_a_token():
    """Said as it is: an answer that holds none."""
    with running_registry(login="token", token="") as server, pytest.raises(Error, match="gave no token"):
        registry(server).manifest(Digest(DIGEST))


def test_a_password_does_not_go_in_the_clear_where_a_remote_registry_says():
    """A registry over TLS that sends for a token over http is refused before anything is sent."""
    from mlrelease.registries.oci import _ChallengedError

    place = Place("registry.acme.com", "acme/serve")
    challenge = _ChallengedError("it", "bearer", {"realm": "http://tokens.acme.com/token"})
    with pytest.raises(Error, match="in the clear") as caught:
        OciRegistry(place, (NAME, PASSWORD))._answer(challenge)
    assert PASSWORD not in caught.value.message


def test_nothing_secret_is_shown():
    """Neither password nor token in what a failure says."""
    with running_registry(login="password", answered_digest=MISSING) as server, pytest.raises(Error) as caught:
        registry(server, (NAME, PASSWORD)).manifest(Digest(DIGEST))
    said = f"{caught.value.message} {caught.value.hint} {caught.value.where}"
    assert PASSWORD not in said
    assert TOKEN not in said
