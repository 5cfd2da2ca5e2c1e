"""The gates `metric` and `signature` seen failing and opening with a real MLflow: validate, plan and deploy."""

from __future__ import annotations

import math

import pytest
from mlrelease.model.bundle import ModelPin
from mlrelease.registries.cache import ArtifactCache
from mlrelease.registries.connect import connect
from support.estate import Estate
from support.mlflow_server import register

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("gates")]

GATES = """
gates:
  - gate: metric
    metric: accuracy
    min: 0.8
    max_regression: 2%
    min_samples: 50
    samples: test_rows
  - gate: signature
"""
WAIVER = """
waivers:
  - gate: metric
    version: "{version}"
    reason: the new test set is harder
    approver: ada@example.com
    expires: "2099-12-31"
"""
GOOD = {"accuracy": 0.9, "test_rows": 60}


def add_version(uri: str, name: str, metrics: dict[str, float], *, columns: int = 13) -> str:
    """One more version of `wine`, with these metrics on its logged model; more columns than 13 are new ones."""
    import mlflow
    from sklearn.datasets import load_wine
    from sklearn.naive_bayes import GaussianNB

    rows, classes = load_wine(return_X_y=True, as_frame=True)
    for number in range(13, columns):
        rows[f"extra_{number}"] = 1.0
    mlflow.set_tracking_uri(uri)
    model = GaussianNB(var_smoothing=10.0 ** -len(name)).fit(rows, classes)
    with mlflow.start_run():
        added = register(uri, "wine", model, input_example=rows.head(5))
        mlflow.log_metrics(metrics, model_id=added.model_id)
    return added.version


VERSIONS = {
    "base": GOOD,
    "worse": GOOD | {"accuracy": 0.85},
    "bad": GOOD | {"accuracy": 0.79},
    "nan": GOOD | {"accuracy": math.nan},
    "unmeasured": {"accuracy_train": 0.99},
    "few rows": GOOD | {"test_rows": 10},
    "good": GOOD | {"accuracy": 0.89},
}


@pytest.fixture(scope="module")
def versions(mlflow_uri):
    """Label → version."""
    found = {label: add_version(mlflow_uri, label, metrics) for label, metrics in VERSIONS.items()}
    return found | {"wider": add_version(mlflow_uri, "wider", GOOD, columns=14)}


@pytest.fixture(scope="module")
def estate(mlflow_uri, versions, tmp_path_factory):
    """The version `base` is deployed; its model file has the gates."""
    root = tmp_path_factory.mktemp("gates")
    estate = Estate(root / "e", mlflow_uri).create()
    registry, cache = connect(mlflow_uri, {}), ArtifactCache(root / "pins")
    keys = [("wine", version) for version in versions.values()]
    for (name, version), facts in registry.describe(keys).items():
        estate.pins[version] = ModelPin(name, version, cache.fetch(facts, registry)[0])
    file = estate.laptop / "environments/production/models/wine.yaml"
    file.write_text(file.read_text() + GATES)
    estate.pin(versions["base"])
    done = estate.json("deploy", "production", cwd=estate.host)
    said = {r["gate"]: r for r in done["services"]["wine"]["gate_results"]}
    assert (said["metric"]["status"], said["signature"]["skip_reason"]) == ("passed", "first_deploy")
    yield estate
    estate.down()


@pytest.fixture
def proposed(estate, versions):
    """Pins a version in the laptop's clone, as on a branch; taken back afterwards."""
    tip = estate.git("rev-parse", "HEAD")

    def propose(label: str, lines: str = "") -> str:
        file = estate.laptop / "environments/production/models/wine.yaml"
        file.write_text(file.read_text() + lines.format(version=versions[label]))
        estate.pin(versions[label], push=False)
        return versions[label]

    yield propose
    if estate.git("rev-parse", "HEAD") != tip and estate.git("rev-parse", "origin/main") == tip:
        estate.git("reset", "--quiet", "--hard", tip)


@pytest.mark.parametrize(
    ("label", "gate", "status", "reason"),
    [
        ("worse", "metric", "failed", "accuracy 0.85: 5.55556% worse than the 0.9 of version {base} (recorded), 2% allowed"),
        (
            *("bad", "metric", "failed"),
            "accuracy 0.79: 0.79 is below the minimum 0.8; 12.2222% worse than the 0.9 of version {base} (recorded), 2% allowed",  # noqa: E501
        ),
        ("nan", "metric", "failed", "accuracy is nan: no number that could be good enough"),
        ("unmeasured", "metric", "failed", "wine version {mine} has no metric accuracy; did you mean accuracy_train?"),
        ("few rows", "metric", "inconclusive", "accuracy 0.9: it was measured on 10 rows, fewer than 50"),
        ("wider", "signature", "failed", "new required input extra_13 (double), against version {base} (recorded)"),
    ],
)
def test_a_pull_request_with_a_version_that_is_not_good_enough_is_refused(
    estate, versions, proposed, label, gate, status, reason
):
    """Exit code 5, and the reason names the number or the column, and the baseline."""
    mine = proposed(label)
    report = estate.json("validate", expect=5)
    (said,) = [r for r in report["gates"] if r["status"] not in ("passed", "skipped")]
    assert (said["gate"], said["status"]) == (gate, status)
    assert said["reason"] == reason.format(base=versions["base"], mine=mine)


def test_a_good_version_passes_the_pull_request(estate, versions, proposed):
    """One hundredth worse is within two per cent; the report names what it was compared with."""
    proposed("good")
    report = estate.json("validate")
    said = {r["gate"]: r for r in report["gates"]}
    passed = ("exists", "digest", "metric", "signature", "size", "scan", "rejected")
    assert {gate: r["status"] for gate, r in said.items()} == dict.fromkeys(passed, "passed") | {"smoke": "skipped"}
    assert said["metric"]["evidence"]["source"] == "model"
    assert said["signature"]["reason"] == (
        f"it accepts what version {versions['base']} (recorded) accepted, and answers in the same form"
    )


def test_a_waiver_opens_the_pull_request(estate, proposed):
    """For this version, with the reason and the approver in the report."""
    proposed("worse", WAIVER)
    (said,) = [r for r in estate.json("validate")["gates"] if r["gate"] == "metric"]
    assert (said["status"], said["skip_reason"]) == ("skipped", "waived")
    assert said["reason"].startswith("waived by ada@example.com until 2099-12-31: the new test set is harder (else failed: ")


def test_a_metric_that_is_worse_stops_plan_and_deploy_and_a_good_one_goes_live(estate, versions, proposed):
    """From the pin to the process that answers: refused twice with the same reason, and then let through."""
    tip = estate.git("rev-parse", "HEAD")
    proposed("worse")
    reason = f"5.55556% worse than the 0.9 of version {versions['base']} (recorded), 2% allowed"
    plan = estate.json("plan", "production", expect=5)
    assert plan["changes"]["wine"]["blocked_by"] == "gate:metric:failed"
    assert reason in plan["changes"]["wine"]["blocked"]
    shown = estate.cli("plan", "production", expect=5).stdout
    assert "5.55556% worse" in " ".join(shown.split())
    estate.git("push", "--quiet", "origin", "main")
    deployed = estate.json("deploy", "production", cwd=estate.host, expect=5)
    receipt = deployed["services"]["wine"]
    assert (receipt["outcome"], estate.live()) == ("blocked", versions["base"])
    assert reason in receipt["reason"]
    estate.revert(f"{tip}..HEAD")
    estate.pin(versions["good"])
    receipt = estate.json("deploy", "production", cwd=estate.host)["services"]["wine"]
    assert (receipt["outcome"], estate.live()) == ("succeeded", versions["good"])
    said = {r["gate"]: r for r in receipt["gate_results"]}
    assert said["metric"]["evidence"]["baseline"]["version"] == versions["base"]
