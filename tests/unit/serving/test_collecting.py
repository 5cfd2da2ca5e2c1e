"""No cycle is collected while libraries are imported, and the collector is afterwards as it was."""

from __future__ import annotations

import gc

import pytest
from mlrelease.serving import loading
from mlrelease.serving.collecting import uncollected


@pytest.fixture(params=[True, False], ids=["on", "off"])
def was_on(request):
    """The collector on or off; on again after the test."""
    (gc.enable if request.param else gc.disable)()
    yield request.param
    gc.enable()


def test_within_it_is_off_and_afterwards_as_before(was_on):
    """Also one inside another."""
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() is was_on


def test_an_error_within_leaves_it_as_before(was_on):
    """A model that cannot be loaded does not stop collections for the others."""
    with pytest.raises(KeyError), uncollected():
        raise KeyError
    assert gc.isenabled() is was_on


def test_a_model_is_loaded_without_collections(monkeypatch, tmp_path, was_on):
    """By the server, where it is a matter of how long a start takes."""
    import mlrelease.serving.scoring

    seen = []
    monkeypatch.setattr(mlrelease.serving.scoring, "load", lambda path: seen.append((path, gc.isenabled())) or "scorer")
    artifact = type("Artifact", (), {"path": tmp_path, "name": "a", "version": "1"})()
    assert loading._load(artifact) == "scorer"
    assert seen == [(tmp_path, False)]
    assert gc.isenabled() is was_on


def test_what_was_made_within_is_not_looked_through_again():
    """What is made later still is: a server's own cycles go."""
    before = gc.get_freeze_count()
    with uncollected():
        kept = [[] for _ in range(1000)]
    frozen = gc.get_freeze_count()
    assert frozen >= before + len(kept)
    later = [[] for _ in range(1000)]
    gc.collect()
    assert abs(gc.get_freeze_count() - frozen) < len(later)
