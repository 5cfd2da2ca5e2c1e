"""Killed anywhere: after each recorded step of a deploy and of a rollback the next pass converges (DESIGN §6 row 9)."""

from __future__ import annotations

import pytest
from support.estate import Estate, until
from support.load import running_load

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("killed"), pytest.mark.timeout(600)]

STEPS = ["lock", "prepare", "artifacts", "start", "ready", "identity", "golden", "switch", "proof", "drain", "retire", "record"]
PAIRS = list(zip(STEPS[:6], STEPS[6:], strict=True))
"""Each step once, on real parts; both ways after each, on stand-ins: `tests/unit/delivery/test_passes.py`."""


@pytest.fixture(scope="module")
def estate(tmp_path_factory, mlflow_uri):
    """Version 1 deployed with no bundle kept warm: every switch is cold, every leftover shows."""
    estate = Estate(tmp_path_factory.mktemp("k"), mlflow_uri).create(keep_warm="0s", replicas=2)
    estate.cli("deploy", "production", cwd=estate.host)
    yield estate
    estate.down()


@pytest.mark.parametrize(("deploy", "rollback"), PAIRS)
def test_killed_after_a_step_of_a_deploy_and_of_its_rollback(estate, deploy, rollback):
    """After SIGKILL the old or the new verified bundle serves, no request fails, the next pass ends with live = git."""
    assert estate.live() == "1"
    with running_load(estate.url, rate=20) as load:
        for wanted, step in (("2", deploy), ("1", rollback)):
            if wanted == "2":
                estate.pin("2")
            else:
                estate.revert("HEAD")
            estate.killed_after(step)
            assert estate.live() in ("1", "2")
            done = estate.cli("deploy", "production", cwd=estate.host)
            assert "locked" not in done.stderr
            assert estate.live() == wanted
            service = estate.state_of()
            assert (service["sync"], service["health"]) == ("InSync", "Healthy")
            assert len(service["instances"]) == 2, "no leftover of the killed pass"
            assert {i["bundle"] for i in service["instances"]} == {service["after"]["id"]}
            until(lambda wanted=wanted: load.newest_version() == wanted, what=f"requests answered by {wanted}")
    estate.forgive()
    summary = load.summary()
    assert summary.failed == 0, summary.failures[:3]
    assert summary.sent > 25
