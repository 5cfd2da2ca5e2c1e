"""The MLflow alias is an output: written after the proof, queued while MLflow is down, never fatal."""

from __future__ import annotations

from mlrelease.delivery.aliases import RETRY_S, write_aliases


def aliases(world, version: str) -> tuple[str, ...]:
    return world.registry.facts["wine", version].aliases


def test_alias_is_written_after_a_deploy(deployed):
    """What was proved gets the environment's alias, once."""
    site = deployed.site()
    assert aliases(deployed, "1") == ()
    assert write_aliases(site) == 0
    assert write_aliases(site) == 0
    assert aliases(deployed, "1") == ("production",)


def test_alias_waits_while_the_registry_is_down(deployed):
    """A dead registry costs no pass: the alias stays queued, is not tried again at once, and is written later."""
    site = deployed.site()
    deployed.registry.down = True
    assert write_aliases(site) == 1
    deployed.registry.down = False
    assert write_aliases(site) == 1, "not before the wait is over"
    deployed.clock += RETRY_S
    assert write_aliases(site) == 0
    assert aliases(deployed, "1") == ("production",)


def test_alias_of_what_was_rolled_back_is_not_written(deployed):
    """Only succeeded Changes name a version."""
    write_aliases(deployed.site())
    deployed.bump("wine", "2")
    bundle = deployed.desired().spec.environments["production"].services["wine"].bundle
    deployed.target.die_loading.add(bundle.id)
    deployed.run()
    assert write_aliases(deployed.site()) == 0
    assert aliases(deployed, "2") == ()


def test_damaged_queue_is_no_failure(deployed):
    """It costs an alias, which the next deploy writes again."""
    (deployed.root / "state" / "aliases.json").write_text("{")
    assert write_aliases(deployed.site()) == 0
