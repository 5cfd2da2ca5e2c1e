"""`doctor` and the images: asked of their registries where it matters, or where it is wished."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from mlrelease.commands.doctor.checks import Patient, State, ask_all
from mlrelease.commands.doctor.images import checks, images
from mlrelease.model.bundle import ImagePin
from support.faulty_server import closed_port
from support.newcomer import newcomer
from support.oci_server import DIGEST, NAME, PASSWORD, running_registry

MISSING = f"sha256:{'0' * 64}"


@pytest.fixture
def here(tmp_path):
    """A repository whose one service pins an image."""
    return newcomer(tmp_path, variables={"DOCKER_CONFIG": str(tmp_path / "docker")})


def looked(made, *references, wished=True, **variables):
    """What the check finds for an environment of these images."""
    known = replace(made, variables=dict(made.variables) | variables)
    environment = known.worktree_spec().environments["production"]
    service = environment.services["wine"]
    services = {str(number): replace(service, image=ImagePin(text)) for number, text in enumerate(references)}
    return images(Patient(known, (), images=wished), replace(environment, services=services))


def test_on_a_target_that_runs_none_nobody_is_asked(here):
    """Only when it is wished: the line says how."""
    with running_registry() as server:
        found = looked(here, server.image(), wished=False)
        assert server.requests == []
    assert (found.state, found.what) == (State.SKIPPED, "the target local runs no image")
    assert "mlrelease doctor --images" in found.fix


def test_an_environment_without_a_service_has_none(here):
    """Nothing to ask."""
    assert looked(here).state is State.SKIPPED


def test_every_pinned_digest_is_there(here):
    """Each image once, however many services pin it."""
    with running_registry() as server:
        found = looked(here, server.image(), server.image())
        assert len(server.requests) == 1
    assert (found.state, found.what) == (State.OK, "1 pinned digest is at the registry")


def test_a_digest_that_is_gone(here):
    """Here a warning, as nothing pulls it; the image is named."""
    with running_registry() as server:
        found = looked(here, server.image(), server.image(digest=MISSING))
    assert found.state is State.WARN
    assert found.what == f"the registry has no such digest: {server.host}/acme/serve:1.0.0"


def test_a_registry_that_is_away(here):
    """Unknown, with what to look at; not a fault of this host."""
    with closed_port() as port:
        found = looked(here, f"127.0.0.1:{port}/acme/serve:1.0.0@{DIGEST}")
    assert (found.state, "did not answer" in found.what) == (State.UNKNOWN, True)


def test_a_registry_that_wants_a_login(here):
    """Unknown too; what `docker login` leaves is used."""
    with running_registry(login="basic") as server:
        found = looked(here, server.image())
        assert (found.state, found.fix) == (State.UNKNOWN, "docker login, with an account that may pull it")
        auth = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
        folder = here.root.parent / "docker"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"auths": {server.host: {"auth": auth}}}))
        assert looked(here, server.image()).state is State.OK


def test_a_login_that_a_helper_keeps_is_not_fetched(here, tmp_path):
    """A program named by a file is not run; the line says which it would be."""
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").write_text('{"credsStore": "desktop"}')
    with running_registry(login="basic") as server:
        found = looked(here, server.image())
    assert (found.state, "docker-credential-desktop, which is not run" in found.fix) == (State.UNKNOWN, True)


def test_a_damaged_docker_configuration_is_a_bad_line(here, tmp_path):
    """As every error of ours."""
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").write_text("{")
    known = replace(here, variables=dict(here.variables))
    patient = Patient(known, tuple(known.worktree_spec().environments.values()), images=True)
    (line,) = ask_all(checks(patient), deadline_s=30)
    assert (line.id, line.environment, line.found.state) == ("image", "production", State.BAD)
    assert "config.json cannot be read" in line.found.what


def test_no_password_is_shown(here):
    """Not of a login that fails either."""
    folder = here.root.parent / "docker"
    folder.mkdir()
    auth = base64.b64encode(f"{NAME}:{PASSWORD}-old".encode()).decode()
    with running_registry(login="password") as server:
        (folder / "config.json").write_text(json.dumps({"auths": {server.host: {"auth": auth}}}))
        found = looked(here, server.image())
    assert found.state is State.UNKNOWN
    assert PASSWORD not in found.what + found.fix
    assert auth not in found.what + found.fix
