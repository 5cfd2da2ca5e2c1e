"""A fleet of models in one service: real model servers, golden predictions computed on the way, one bad model among many."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.model.change import Outcome
from support.fleet import MARK, FleetWorld, answer_of, real_target, tiny_model

pytestmark = pytest.mark.xdist_group("fleet")

MODELS = 30


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Thirty models in one service, two versions each; nobody has computed a golden prediction yet."""
    root = Path(tempfile.mkdtemp(prefix="fl-"))
    files = tiny_model(tmp_path_factory.mktemp("tiny"))
    with real_target(root) as (target, _):
        yield FleetWorld(
            root / "w", services=("books",), per_service=MODELS, files=files, replicas=2, target=target, with_goldens=False
        ).create()
    shutil.rmtree(root)


def predict(fleet: FleetWorld, model: str) -> tuple[str, list[float]]:
    """Version and predictions of one model, through the proxy."""
    answer = fleet.target.ask_service(
        "books",
        "POST",
        f"/models/{model}/invocations",
        b'{"inputs": [[1.0]]}',
        timeout_s=10,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status == 200, answer.body
    return answer.headers["x-model-version"], json.loads(answer.body)["predictions"]


def test_a_fleet_is_deployed_with_one_cold_start_for_its_golden_predictions(fleet):
    """All thirty are computed in one isolated process, stored in one commit, tried by each instance and asked of each."""
    result = fleet.run()
    receipt = result.receipts["books"]
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.reason
    asked = [probe for probe in receipt.probes if probe.name.startswith("golden:")]
    assert len(asked) == MODELS * 2
    assert {probe.status for probe in asked} == {"passed"}
    pins = [fleet.pins[model, "1"] for model in fleet.models()]
    assert len(fleet.site().ledger.goldens([pin.digest for pin in pins])) == MODELS
    (instance, _) = fleet.target.observe("books").instances
    assert instance.identity.models == tuple(sorted((pin.name, pin.version, str(pin.digest)) for pin in pins))
    assert predict(fleet, "books-0007") == ("1", [answer_of(7, "1")])


def test_one_model_of_the_fleet_moves_alone(fleet):
    """A bump of one model is one component; it is proved in full, the others are asked once, and all answer afterwards."""
    fleet.run()
    fleet.move(["books-0003"], "2")
    result = fleet.run()
    (change,) = result.plan.changes
    assert [str(component.key) for component in change.components] == ["model:books-0003"]
    receipt = result.receipts["books"]
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.reason
    how = {probe.name: probe.reason for probe in receipt.probes}
    assert how["golden:books-0003"] == "alone and 50 at a time"
    assert how["golden:books-0004"] == "alone: the same bytes answered before"
    assert predict(fleet, "books-0003") == ("2", [answer_of(3, "2")])
    assert predict(fleet, "books-0004") == ("1", [answer_of(4, "1")])


def test_one_model_that_does_not_predict_stops_the_move_and_is_named(fleet):
    """Two models of thirty move, one of them cannot predict: nothing moves, nothing was started, the reason names it."""
    fleet.run()
    serving = {i.id for i in fleet.target.observe("books").instances if i.role == "active"}
    code = next(path for path, data in fleet.files.items() if b"def predict" in data and MARK in data)
    bad = {path: data.replace(MARK, b"8.8") for path, data in fleet.files.items()}
    bad[code] = bad[code].replace(b"return ", b"raise ValueError('no stock') or ")
    fleet.replace("books-0011", "2", bad, known=False)
    fleet.move(["books-0010", "books-0011"], "2")
    result = fleet.run()
    receipt = result.receipts["books"]
    assert receipt.outcome is Outcome.ROLLED_BACK
    assert exit_code(result) == 6
    (failed,) = [probe for probe in receipt.probes if probe.status == "failed"]
    assert failed.name == "golden:books-0011"
    assert failed.reason.startswith("in isolation: the model cannot predict its own example")
    assert {i.id for i in fleet.target.observe("books").instances if i.role == "active"} == serving
    assert predict(fleet, "books-0010") == ("1", [answer_of(10, "1")])
