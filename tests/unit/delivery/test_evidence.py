"""Evidence for gates: what is asked for which gate, of versions and of baselines, and in which order."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
from mlrelease.delivery.evidence import Want, evidence_for
from mlrelease.delivery.reports import Reports
from mlrelease.errors import Error
from mlrelease.gates.interface import Column, Metrics, Origin, ScanReport, Signature, SmokeReport, Subject
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateSpec
from mlrelease.registries.cache import ArtifactCache
from support.fake_registry import FakeRegistry, pin_of

DOWN = "MLflow at http://fake did not answer: connection refused; is it running?"
METRIC = GateSpec("metric", {"metric": "rmse", "max": 80, "max_regression": "5%"})
BOUND = GateSpec("metric", {"metric": "rmse", "max": 80})
SIGNATURE, SCAN, SMOKE, EXISTS = (GateSpec(gate) for gate in ("signature", "scan", "smoke", "exists"))
LOADS = "flavors:\n  python_function: {loader_module: mlflow.sklearn}\n"


def model(kind: str, *, extra: bytes = b"") -> dict[str, bytes]:
    """The files of a version whose input `a` has this type."""
    inputs = json.dumps([{"type": kind, "name": "a", "required": True}])
    return {"MLmodel": f"{LOADS}signature:\n  inputs: '{inputs}'\n".encode(), "weights.json": b"{}" + extra}


SEVEN, EIGHT = model("long"), model("double")


def declares(kind: str) -> Signature:
    return Signature((Column("a", kind, required=True),), None)


@pytest.fixture
def registry():
    registry = FakeRegistry()
    registry.add("risk", "7", SEVEN)
    registry.add("risk", "8", EIGHT)
    registry.numbers = {("risk", "7"): ({"rmse": 70.0}, "model"), ("risk", "8"): ({"rmse": 75.0}, "run")}
    return registry


@pytest.fixture
def cache(tmp_path):
    return ArtifactCache(tmp_path / "cache")


@pytest.fixture
def reports(tmp_path):
    return Reports(tmp_path / "reports")


@pytest.fixture
def subject(tmp_path):
    """Version 8 that replaces version 7."""
    return Subject(
        "production",
        "credit",
        pin_of("risk", "8", EIGHT, tmp_path / "8"),
        baseline=pin_of("risk", "7", SEVEN, tmp_path / "7"),
        baseline_origin=Origin.RECORDED,
        may_load=False,
    )


@pytest.fixture
def gathered(registry, cache, reports):
    """Evidence for one want."""

    def gather(subject, *specs, **more):
        want = Want(subject, specs, **more)
        (evidence,) = evidence_for([want], registry=lambda: registry, cache=cache, reports=reports)
        return evidence

    return gather


def test_only_what_the_gates_need_is_asked_for(gathered, registry, subject):
    """Without a metric gate nobody asks for metrics, without a signature gate nobody for the baseline."""
    evidence = gathered(subject, EXISTS, GateSpec("digest"))
    assert (evidence.asked, evidence.found_digest) == (True, subject.pin.digest)
    assert (evidence.metrics, evidence.signature, evidence.scan, evidence.smoke) == (None, None, None, None)
    assert registry.described == [(("risk", "8"),)]


def test_metrics_of_the_version_and_of_its_baseline(gathered, subject):
    """With whose they are."""
    evidence = gathered(subject, METRIC)
    assert evidence.metrics == Metrics({"rmse": 75.0}, "run")
    assert evidence.baseline_metrics == Metrics({"rmse": 70.0}, "model")


def test_a_bound_alone_asks_for_no_baseline(gathered, registry, subject):
    """It is compared with nothing."""
    evidence = gathered(subject, BOUND)
    assert (evidence.metrics, evidence.baseline_metrics) == (Metrics({"rmse": 75.0}, "run"), None)
    assert registry.described == [(("risk", "8"),)]


def test_a_first_deploy_has_no_baseline_to_ask_for(gathered, registry, subject):
    """Only the version itself."""
    evidence = gathered(replace(subject, baseline=None), METRIC, SIGNATURE)
    assert (evidence.baseline_metrics, evidence.baseline_signature) == (None, None)
    assert (evidence.baseline_error, evidence.baseline_gone) == ("", "")
    assert registry.described == [(("risk", "8"),)]


def test_signatures_are_read_from_verified_files(gathered, registry, cache, subject):
    """The version's from the cache that it was just brought into; the baseline's too, fetched whole where it is not there."""
    evidence = gathered(subject, SIGNATURE)
    assert (evidence.signature, evidence.baseline_signature) == (declares("double"), declares("long"))
    assert cache.verified(subject.baseline.digest) is not None
    assert sorted(registry.downloaded) == [("risk", "7"), ("risk", "8")]


def test_a_cached_baseline_is_not_asked_for(gathered, registry, cache, subject):
    """On the host that runs it, it always is: no registry is needed for what is recorded."""
    cache.ensure(subject.baseline, registry.facts["risk", "7"], registry)
    registry.described.clear()
    evidence = gathered(subject, SIGNATURE)
    assert evidence.baseline_signature == declares("long")
    assert registry.described == [(("risk", "8"),)]


@pytest.mark.parametrize(
    ("gate", "gone"),
    [(METRIC, "is no longer in MLflow"), (SIGNATURE, "is no longer in MLflow")],
    ids=["metric", "signature"],
)
def test_a_baseline_that_was_deleted_is_said(gathered, registry, subject, gate, gone):
    """Nothing is left to compare with."""
    del registry.facts["risk", "7"]
    evidence = gathered(subject, gate)
    assert (evidence.baseline_gone, evidence.baseline_error, evidence.baseline_signature) == (gone, "", None)


def test_a_baseline_that_was_overwritten_is_no_baseline(gathered, registry, subject):
    """Else whoever may write artifacts could widen what the next version is compared with."""
    registry.contents["risk", "7"] = model("double", extra=b" ")
    evidence = gathered(subject, SIGNATURE)
    assert evidence.baseline_gone == "was overwritten in MLflow: its files are no longer those that were pinned"
    assert evidence.baseline_signature is None


def test_a_registry_that_is_down_is_evidence_for_everything(gathered, registry, cache, subject):
    """One error, and no claim that anything is missing."""
    cache.ensure(subject.pin, registry.facts["risk", "8"], registry)
    registry.down = True
    evidence = gathered(subject, METRIC, SIGNATURE)
    assert (evidence.error, evidence.asked, evidence.metrics) == (DOWN, False, None)
    assert (evidence.baseline_gone, evidence.baseline_signature) == ("", None)
    assert evidence.baseline_error == "the registry was not asked for it"


def test_metrics_that_cannot_be_read_spoil_nothing_else(gathered, registry, subject):
    """The version is there, its numbers are not."""

    def broken(facts):
        raise Error("the run cannot be read", hint="ask its owner")

    registry.metrics = broken
    evidence = gathered(subject, METRIC, SIGNATURE)
    assert evidence.metrics == Metrics(error="the run cannot be read; ask its owner")
    assert (evidence.facts.version, evidence.signature) == ("8", declares("double"))


def test_a_file_that_is_no_mlmodel_is_said(gathered, registry, subject, tmp_path):
    """The bytes are the pin's all the same."""
    files = {"MLmodel": b"[]"}
    registry.add("risk", "8", files)
    odd = replace(subject, pin=pin_of("risk", "8", files, tmp_path / "odd"))
    evidence = gathered(odd, SIGNATURE)
    assert evidence.found_digest == odd.pin.digest
    assert evidence.digest_error == "the MLmodel file is not one that MLflow writes; log the model again"


@pytest.mark.parametrize("direction", [Direction.BACK, Direction.NONE], ids=str)
def test_what_does_not_move_forward_costs_nothing(gathered, registry, subject, direction):
    """Going back asks for the version at most, never for numbers, signatures or a trial."""
    evidence = gathered(replace(subject, direction=direction, may_load=True), METRIC, SIGNATURE, SCAN, SMOKE)
    assert (evidence.metrics, evidence.signature, evidence.scan, evidence.smoke) == (None, None, None, None)
    assert registry.described == [(("risk", "8"),)]


def test_nobody_is_asked_about_a_model_that_only_gets_another_image(registry, cache, reports, subject):
    """Not even for the address of the registry."""

    def unset():
        raise Error("the variable MLFLOW_TRACKING_URI is not set")

    still = Want(replace(subject, direction=Direction.NONE), (EXISTS, METRIC), ask=False)
    (evidence,) = evidence_for([still], registry=unset, cache=cache, reports=reports)
    assert (evidence.asked, evidence.error) == (False, "")


def test_tampered_files_are_neither_scanned_nor_loaded(gathered, registry, subject):
    """The digest comes first."""
    registry.contents["risk", "8"] = model("double", extra=b"tampered")
    evidence = gathered(replace(subject, may_load=True), SIGNATURE, SCAN, SMOKE)
    assert evidence.found_digest not in (None, subject.pin.digest)
    assert (evidence.signature, evidence.scan, evidence.smoke) == (None, None, None)


def test_a_scan_is_kept_by_digest(gathered, reports, subject, monkeypatch):
    """Equal bytes are looked through once on a host."""
    first = gathered(subject, SCAN).scan
    assert first is not None
    assert reports.scan(subject.pin.digest) == first
    monkeypatch.setattr("mlrelease.registries.scan.scan", None)
    assert gathered(subject, SCAN).scan == first


def test_nothing_is_loaded_where_nothing_may_be(gathered, subject):
    """A check of a pull request tries no model; what it would be scanned for is not asked either."""
    evidence = gathered(subject, SMOKE)
    assert (evidence.scan, evidence.smoke) == (None, None)


def test_a_model_that_the_scan_forbids_is_not_loaded(gathered, registry, subject, tmp_path):
    """Under the default policy, though no scan gate is listed: the order is digest, scan, and only then load."""
    files = EIGHT | {"model.pkl": b"cos\nsystem\n(S'true'\ntR."}
    registry.add("risk", "8", files)
    hostile = replace(subject, pin=pin_of("risk", "8", files, tmp_path / "hostile"), may_load=True)
    evidence = gathered(hostile, SMOKE)
    assert evidence.smoke.errored
    assert evidence.smoke.error.startswith("it was not loaded: loading model.pkl would ")
    assert any("os.system" in f.globals or "posix.system" in f.globals for f in evidence.scan.files)


def test_many_wants_are_asked_for_together(registry, cache, reports, subject):
    """One description of all versions, one of all baselines."""
    wants = [Want(subject, (METRIC,)), Want(replace(subject, service="other"), (METRIC,))]
    first, second = evidence_for(wants, registry=lambda: registry, cache=cache, reports=reports)
    assert first == second
    assert registry.described == [(("risk", "8"),), (("risk", "7"),)]


def test_no_wants_ask_nobody(registry, cache, reports):
    """An empty plan costs nothing."""
    assert evidence_for([], registry=lambda: registry, cache=cache, reports=reports) == ()
    assert registry.described == []


def test_reports_are_read_as_they_were_kept(reports, subject):
    """A smoke test's word belongs to its interpreter; a bad one is not kept; damage is as if nothing were there."""
    digest, good = subject.pin.digest, SmokeReport(rows=3, seconds_to_load=0.5, isolation="no network")
    reports.keep_smoke(digest, sys.executable, good)
    assert reports.smoke(digest, sys.executable) == good
    assert reports.smoke(digest, "/opt/other/python") is None
    reports.keep_smoke(digest, "/opt/other/python", SmokeReport(error="out of memory"))
    assert reports.smoke(digest, "/opt/other/python") is None
    assert reports.scan(digest) is None
    reports.keep_scan(digest, ScanReport((), "s"))
    for file in reports._root.iterdir():
        file.write_text("{")
    assert (reports.scan(digest), reports.smoke(digest, sys.executable)) == (None, None)
    for file in reports._root.iterdir():
        file.write_text('{"rows": 1, "novelty": 2}')
    assert (reports.scan(digest), reports.smoke(digest, sys.executable)) == (None, None)


def test_a_folder_that_cannot_be_written_loses_a_report_only(tmp_path, subject):
    """It is looked at again the next time."""
    (tmp_path / "file").write_text("")
    reports = Reports(tmp_path / "file" / "reports")
    reports.keep_scan(subject.pin.digest, ScanReport((), "s"))
    assert reports.scan(subject.pin.digest) is None
