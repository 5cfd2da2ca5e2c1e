"""The queue of aliases: what is noted for which receipts, what one that is refused does to the others, what damage costs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mlrelease.delivery.aliases import RETRY_S, queue_aliases, write_aliases
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import ServiceReceipt
from support.place import Place


@pytest.fixture
def three(tmp_path):
    """Three services, none of them deployed."""
    return Place(tmp_path / "p", names=("alpha", "beta", "gamma"))


def receipt(place, name, outcome=Outcome.SUCCEEDED, after=True):
    bundle = place.bundle(name) if after else None
    return ServiceReceipt(outcome, ChangeKind.UPDATE, Direction.FORWARD, "", None, bundle)


def written(place):
    return {name for (name, _), facts in place.registry.facts.items() if "live" in facts.aliases}


def queued(place):
    return json.loads((place.root / "state" / "aliases.json").read_text())


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.SUCCEEDED])
def test_only_what_succeeded_is_noted(three, outcome):
    """An alias says "proved here": nothing else is."""
    queue_aliases(three.site(), {"alpha": receipt(three, "alpha", outcome)})
    assert write_aliases(three.site()) == 0
    assert written(three) == set()


def test_a_removed_service_names_no_version(three):
    """What serves nothing has nothing to name; the alias of its last version is left to people."""
    queue_aliases(three.site(), {"alpha": receipt(three, "alpha", after=False)})
    assert not (three.root / "state").exists()


def test_an_environment_without_an_alias_keeps_no_queue(three):
    """Nobody asked for one."""
    three.environment = replace(three.environment, alias="")
    queue_aliases(three.site(), {"alpha": receipt(three, "alpha")})
    assert not (three.root / "state").exists()


def test_a_newer_version_takes_the_place_of_one_that_still_waits(three):
    """And the other models keep theirs: one entry a model, the newest."""
    queue_aliases(three.site(), {name: receipt(three, name) for name in ("alpha", "beta")})
    three.bump("alpha", "2")
    queue_aliases(three.site(), {"alpha": receipt(three, "alpha")})
    assert queued(three) == {"not_before": 0.0, "aliases": {"alpha": "2", "beta": "1"}}
    assert write_aliases(three.site()) == 0
    assert three.registry.facts["alpha", "2"].aliases == ("live",)
    assert three.registry.facts["alpha", "1"].aliases == ()


def test_one_alias_that_is_refused_does_not_keep_the_others(three):
    """Its version was deleted from the registry: it waits alone, and the rest is written at once."""
    queue_aliases(three.site(), {name: receipt(three, name) for name in three.names})
    three.registry.delete("alpha", "1")
    assert write_aliases(three.site()) == 1
    assert written(three) == {"beta", "gamma"}
    assert queued(three) == {"not_before": three.clock + RETRY_S, "aliases": {"alpha": "1"}}


def test_a_registry_that_is_down_is_asked_once_and_not_for_every_model(three, monkeypatch):
    """Each question would wait for its own deadline."""
    queue_aliases(three.site(), {name: receipt(three, name) for name in three.names})
    three.registry.down = True
    asked = []
    refuse = three.registry.set_alias
    monkeypatch.setattr(three.registry, "set_alias", lambda *words: asked.append(words) or refuse(*words))
    assert write_aliases(three.site()) == 3
    assert len(asked) == 1
    assert len(queued(three)["aliases"]) == 3


def test_a_new_deploy_is_written_at_once_though_an_older_one_waits(three):
    """A success shows that the moment is good."""
    queue_aliases(three.site(), {"alpha": receipt(three, "alpha")})
    three.registry.down = True
    write_aliases(three.site())
    three.registry.down = False
    queue_aliases(three.site(), {"beta": receipt(three, "beta")})
    assert write_aliases(three.site()) == 0
    assert written(three) == {"alpha", "beta"}


def test_exactly_at_the_end_of_the_wait_it_is_tried(three):
    """Not a moment before."""
    queue_aliases(three.site(), {"alpha": receipt(three, "alpha")})
    three.registry.down = True
    write_aliases(three.site())
    three.registry.down = False
    three.clock += RETRY_S - 0.5
    assert write_aliases(three.site()) == 1
    three.clock += 0.5
    assert write_aliases(three.site()) == 0


@pytest.mark.parametrize(
    "content",
    ["", "[]", "null", '{"not_before": "soon", "aliases": {}}', '{"not_before": 0}', '{"not_before": 0, "aliases": ["alpha"]}'],
    ids=["empty", "a list", "null", "no moment", "no aliases", "aliases as a list"],
)
def test_a_damaged_queue_is_an_empty_one_and_is_written_over(three, content):
    """It costs an alias, which the next deploy writes."""
    path = three.root / "state" / "aliases.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert write_aliases(three.site()) == 0
    queue_aliases(three.site(), {"alpha": receipt(three, "alpha")})
    assert write_aliases(three.site()) == 0
    assert written(three) == {"alpha"}
