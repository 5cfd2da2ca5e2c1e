"""`serve`: nothing is listened on before the folder, or the pinned bytes, are what they should be."""

from __future__ import annotations

import os

import pytest
from mlrelease.commands.serve import ServeOptions, serve_folder, serve_pinned
from mlrelease.commands.workspace import cache_folder
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.registries.cache import ArtifactCache
from mlrelease.spec.edit import set_model_pin
from support.fake_registry import pin_of
from support.newcomer import newcomer
from support.pair import identity

pytestmark = pytest.mark.xdist_group("serve")
MODEL = "environments/production/models/wine.yaml"
FILES = {"MLmodel": b"flavors: {}\n", "model.bin": b"right"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """`wine` is pinned at the digest of some bytes."""
    with identity():
        folder = tmp_path_factory.mktemp("serve")
        here = newcomer(folder)
        pin = pin_of("wine", "1", FILES, folder / "scratch")
        here.write(MODEL, set_model_pin(here.read(MODEL).encode(), "1", pin.digest).decode())
        yield here, pin


@pytest.fixture
def here(made, tmp_path):
    """With an empty cache, and a registry that has nothing."""
    from dataclasses import replace

    from support.fake_registry import FakeRegistry

    variables = dict(made[0].variables) | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    return replace(made[0], variables=variables, fake=FakeRegistry())


def pinned(here, environment="production", service="wine"):
    return serve_pinned(here, environment, service, ServeOptions("127.0.0.1:0"))


def test_a_service_that_is_none_is_usage(here):
    """With those that are there; of the environment too."""
    with pytest.raises(UsageError) as refused:
        pinned(here, service="beer")
    assert (refused.value.message, refused.value.hint) == ("production has no valid service 'beer'", "services: wine")
    with pytest.raises(UsageError, match="there is no environment 'prod'"):
        pinned(here, environment="prod")


def test_a_version_that_is_gone_is_named(here):
    """With the verb that shows every such pin."""
    with pytest.raises(Error) as failed:
        pinned(here)
    assert failed.value.message == "wine has no version 1 at http://fake"
    assert failed.value.hint == "mlrelease validate"


def test_other_bytes_are_never_loaded(here, made, capsys):
    """They were changed after they were pinned: the digest of what is there is named; nothing stays in the cache."""
    here.fake.add("wine", "1", {**FILES, "model.bin": b"wrong"})
    found = pin_of("wine", "1", {**FILES, "model.bin": b"wrong"}, here.root.parent / "wrong").digest
    with pytest.raises(Error) as failed:
        pinned(here)
    assert failed.value.message == f"wine 1 is not what the pin says: found {found}"
    assert failed.value.hint == "mlrelease validate"
    assert capsys.readouterr().err == ""
    assert ArtifactCache(cache_folder(here.variables)).verified(made[1].digest) is None


def test_a_registry_that_is_away_is_said(here):
    """Later may be better."""
    here.fake.down = True
    with pytest.raises(UnavailableError, match="did not answer"):
        pinned(here)


def test_what_is_in_the_cache_needs_no_registry(here, made, capsys):
    """The bytes are there and verified: it gets as far as the address, which is none."""
    here.fake.add("wine", "1", FILES)
    ArtifactCache(cache_folder(here.variables)).fetch(here.fake.facts["wine", "1"], here.fake)
    here.fake.down = True
    before = dict(os.environ)
    try:
        with pytest.raises(Error) as failed:
            serve_pinned(here, "production", "wine", ServeOptions("nowhere"))
    finally:
        assert dict(os.environ) == before
    assert not isinstance(failed.value, UnavailableError)
    assert "nowhere" in failed.value.message + str(failed.value.where)


@pytest.mark.parametrize("name", ["gone", "file"])
def test_a_folder_that_is_none_is_usage(tmp_path, name):
    """With how to name one."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as refused:
        serve_folder(ServeOptions(model_path=str(tmp_path / name)))
    assert refused.value.message == f"{tmp_path / name}: no such folder"
    assert refused.value.hint == "MODEL_PATH or --model-path names a folder with MLmodel in it"


def test_a_folder_without_a_model_is_an_error(tmp_path, capsys):
    """Nothing is said of serving it."""
    with pytest.raises(Error, match="it has no file MLmodel"):
        serve_folder(ServeOptions(model_path=str(tmp_path)))
    assert capsys.readouterr().err == ""


def test_a_folder_of_another_digest_is_not_served(tmp_path, capsys):
    """Who names a digest wants just that."""
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    with pytest.raises(Error, match="are not those of the digest"):
        serve_folder(ServeOptions(model_path=str(tmp_path), digest="sha256:" + "0" * 64))
    assert capsys.readouterr().err == ""
