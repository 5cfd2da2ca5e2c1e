"""The gate `promoted_from`: the source's word on a model under its image, and the soak."""

from __future__ import annotations

import json
import math

import pytest
from mlrelease.gates import promoted_from
from mlrelease.gates.interface import Evidence, Promotion
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateStatus, SkipReason
from support.gating import NOW, subject

OPTIONS = {"environment": "staging", "soak_s": 3600.0}
VERIFIED = NOW - 7200.0


def judge(promotion, direction=Direction.FORWARD, options=OPTIONS, **other):
    return promoted_from.evaluate(options, subject(direction, **other), Evidence(promotion=promotion))


@pytest.mark.parametrize(
    ("promotion", "status", "reason"),
    [
        pytest.param(
            Promotion("staging", VERIFIED, ("model",), NOW - 3600.0),
            GateStatus.PASSED,
            "verified in staging at 2027-01-15T06:00:00.000Z",
            id="verified and soaked",
        ),
        pytest.param(
            Promotion("staging", VERIFIED, ("model",), NOW),
            GateStatus.PASSED,
            "verified in staging at 2027-01-15T06:00:00.000Z",
            id="soaked at this very moment",
        ),
        pytest.param(
            Promotion("staging", VERIFIED, ("model",)),
            GateStatus.PASSED,
            "verified in staging at 2027-01-15T06:00:00.000Z",
            id="verified, no soak asked for",
        ),
        pytest.param(
            Promotion("staging", VERIFIED, ("model",), NOW + 60.0),
            GateStatus.INCONCLUSIVE,
            "verified in staging at 2027-01-15T06:00:00.000Z; "
            "not before 2027-01-15T08:01:00.000Z, when its soak in staging is served",
            id="still soaking",
        ),
        pytest.param(
            Promotion("staging"),
            GateStatus.FAILED,
            "risk 8 was never verified in staging under the image that it would run with here",
            id="never verified there",
        ),
        pytest.param(
            Promotion("staging", rejection="rejected by ada: biased"),
            GateStatus.FAILED,
            "risk 8 was rejected by ada: biased (in staging)",
            id="rejected there",
        ),
        pytest.param(
            Promotion("staging", VERIFIED, ("model",), math.inf),
            GateStatus.FAILED,
            "risk 8 was replaced in staging before its soak was served",
            id="replaced there too early",
        ),
        pytest.param(
            Promotion("staging", error="the chain is broken at 01H"),
            GateStatus.ERRORED,
            "the ledger of staging could not be read: the chain is broken at 01H",
            id="a ledger that cannot be read",
        ),
        pytest.param(None, GateStatus.ERRORED, "the ledger of the environment promoted from was not read", id="nobody looked"),
    ],
)
def test_its_word_on_a_model_that_moves_forward(promotion, status, reason):
    """Failed is a no of the source; errored is that it could not be asked; inconclusive is that its time is not over."""
    result = judge(promotion)
    assert (result.status, result.reason, result.skip_reason) == (status, reason, None)
    assert result.component == "model:risk"
    json.dumps(result.to_json(), allow_nan=False)


def test_a_pull_request_passes_while_it_soaks():
    """A merge may be made ahead: the Change waits for T, and the reason says so."""
    promotion = Promotion("staging", VERIFIED, ("model",), NOW + 60.0)
    result = judge(promotion, may_load=False)
    assert (result.status, result.opens) == (GateStatus.PASSED, True)
    assert "not before 2027-01-15T08:01:00.000Z" in result.reason


def test_a_pull_request_fails_for_what_time_does_not_heal():
    """Never verified is never verified."""
    assert judge(Promotion("staging"), may_load=False).status is GateStatus.FAILED


def test_the_evidence_names_source_and_moments():
    """As JSON can hold it; what never comes is empty."""
    shown = judge(Promotion("staging", VERIFIED, ("model",), NOW)).evidence
    assert shown == {
        "source": "staging",
        "verified_at": "2027-01-15T06:00:00.000Z",
        "not_before": "2027-01-15T08:00:00.000Z",
        "exercised": ["model"],
    }
    never = judge(Promotion("staging", VERIFIED, ("model",), math.inf)).evidence
    assert never["not_before"] == ""


@pytest.mark.parametrize(
    "promotion", [None, Promotion("staging"), Promotion("staging", rejection="rejected by ada: biased")], ids=str
)
def test_moving_back_is_not_asked(promotion):
    """It was verified here; what the source says by now does not keep it away."""
    result = judge(promotion, Direction.BACK)
    assert (result.status, result.skip_reason, result.opens) == (GateStatus.SKIPPED, SkipReason.ROLLBACK, True)


def test_a_model_that_stands_under_an_image_that_moves_is_asked():
    """Its direction is none, and there is a word of the source on the pair."""
    assert judge(Promotion("staging"), Direction.NONE).status is GateStatus.FAILED
    assert judge(Promotion("staging", VERIFIED, ("model",)), Direction.NONE).status is GateStatus.PASSED


def test_a_pin_that_stands_is_not_asked():
    """Neither it nor the image moves: nobody read the source for it."""
    result = judge(None, Direction.NONE)
    assert (result.status, result.skip_reason) == (GateStatus.SKIPPED, SkipReason.NOT_APPLICABLE)


@pytest.mark.parametrize(
    ("target", "exercised", "status"),
    [
        ("local", ("model",), GateStatus.PASSED),
        ("kubernetes", ("model",), GateStatus.FAILED),
        ("kubernetes", ("model", "image"), GateStatus.PASSED),
    ],
)
def test_where_images_run_one_must_have_run(target, exercised, status):
    """The option `target` is where it moves to."""
    assert judge(Promotion("staging", VERIFIED, exercised), options=OPTIONS | {"target": target}).status is status


def test_an_unknown_option_is_an_error():
    """Never passed over."""
    result = judge(Promotion("staging", VERIFIED), options={"enviroment": "staging"})
    assert (result.status, result.reason) == (GateStatus.ERRORED, "the gate has no option 'enviroment'")
