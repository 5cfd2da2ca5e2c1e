"""What `docker login` has left: names and passwords by registry, helpers that are not run, files that are no use."""

from __future__ import annotations

import base64
import json

import pytest
from mlrelease.errors import Error
from mlrelease.registries.docker_config import Login, login

AUTH = base64.b64encode(b"robot:hunter2:with-colon").decode()


def config(folder, value):
    """The variables of a process whose Docker configuration is that."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return {"DOCKER_CONFIG": str(folder), "HOME": "/nowhere"}


@pytest.mark.parametrize(
    ("host", "value", "expected"),
    [
        ("ghcr.io", {"auths": {"ghcr.io": {"auth": AUTH}}}, Login(("robot", "hunter2:with-colon"))),
        ("ghcr.io", {"auths": {"https://ghcr.io": {"auth": AUTH}}}, Login(("robot", "hunter2:with-colon"))),
        (
            "registry-1.docker.io",
            {"auths": {"https://index.docker.io/v1/": {"auth": AUTH}}},
            Login(("robot", "hunter2:with-colon")),
        ),
        ("quay.io", {"auths": {"ghcr.io": {"auth": AUTH}}}, Login()),
        ("ghcr.io", {"auths": {"ghcr.io": {}}, "credsStore": "desktop"}, Login(helper="desktop")),
        ("ghcr.io", {"credHelpers": {"ghcr.io": "gh"}, "credsStore": "desktop"}, Login(helper="gh")),
        ("quay.io", {"credHelpers": {"ghcr.io": "gh"}}, Login()),
        ("ghcr.io", {}, Login()),
        ("ghcr.io", [], Login()),
        ("ghcr.io", {"auths": {"ghcr.io": {"auth": "not base64!"}}}, Login()),
        ("ghcr.io", {"auths": {"ghcr.io": {"auth": base64.b64encode(b"no colon").decode()}}}, Login()),
        ("ghcr.io", {"auths": {"ghcr.io": {"auth": 7}}}, Login()),
    ],
    ids=[
        "by its host, a colon in the password",
        "by its address",
        "Docker Hub under its old name",
        "another registry's is not used",
        "kept in a store",
        "kept by a helper of its own",
        "a helper for another registry",
        "an empty file",
        "a file that is no object",
        "an entry that is not base64",
        "an entry without a colon",
        "an entry that is no text",
    ],
)
def test_what_is_known_of_a_registry(tmp_path, host, value, expected):
    """Only what was left for that very registry."""
    assert login(host, config(tmp_path, value)) == expected


def test_without_a_file_nothing_is_known(tmp_path):
    """Most machines have none."""
    assert login("ghcr.io", {"DOCKER_CONFIG": str(tmp_path)}) == Login()


def test_the_file_lies_in_the_home_folder_unless_said_otherwise(tmp_path):
    """`~/.docker/config.json`."""
    config(tmp_path / ".docker", {"auths": {"ghcr.io": {"auth": AUTH}}})
    assert login("ghcr.io", {"HOME": str(tmp_path)}).credentials is not None


def test_a_damaged_file_is_said_without_its_content(tmp_path):
    """It may hold a password."""
    with pytest.raises(Error, match="cannot be read") as caught:
        login("ghcr.io", config(tmp_path, f'{{"auths": "{AUTH}"'))
    assert AUTH not in f"{caught.value.message}{caught.value.hint}"
