"""Evidence of loading: a model is tried only after its scan opened, once an interpreter, and sizes come from what is whole."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from mlrelease.delivery import evidence as evidences
from mlrelease.delivery.evidence import Want, evidence_for
from mlrelease.delivery.reports import Reports
from mlrelease.errors import Error, UnavailableError
from mlrelease.gates.interface import Origin, ScannedFile, ScanReport, SmokeReport, Subject
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateSpec
from mlrelease.registries.cache import ArtifactCache
from support.fake_registry import FakeRegistry, pin_of

SMOKE, SIZE = GateSpec("smoke"), GateSpec("size")
FILES = {version: {"MLmodel": b"flavors: {}\n", "w.bin": b"x" * int(version)} for version in ("7", "8")}
SIZES = {version: sum(map(len, files.values())) for version, files in FILES.items()}
SAFE = ScanReport((ScannedFile("MLmodel", "loader"),), "test")
NAMES = ScanReport((ScannedFile("m.pkl", "pickle", ("acme.Model",)),), "test")


@pytest.fixture
def pins(tmp_path):
    return {version: pin_of("risk", version, files, tmp_path / version) for version, files in FILES.items()}


@pytest.fixture
def registry():
    made = FakeRegistry()
    for version, files in FILES.items():
        made.add("risk", version, files)
    return made


@pytest.fixture
def cache(tmp_path):
    return ArtifactCache(tmp_path / "cache")


@pytest.fixture
def reports(tmp_path, pins):
    """The scan of both versions opens."""
    made = Reports(tmp_path / "reports")
    for pin in pins.values():
        made.keep_scan(pin.digest, SAFE)
    return made


@pytest.fixture
def tried(monkeypatch):
    """The isolated process that loads, as a list of what it was asked; it answers that all is well."""
    calls = []

    def smoke(path, python):
        calls.append((path.name, python))
        return SmokeReport(rows=3)

    monkeypatch.setattr(evidences, "_smoke", smoke)
    return calls


@pytest.fixture
def ask(registry, cache, reports, pins):
    """Evidence for version 8, which replaces version 7."""

    def ask(*specs, baseline="7", may_load=True, direction=Direction.FORWARD, **more):
        base = pins[baseline] if baseline else None
        subject = Subject("production", "risk", pins["8"], direction, baseline=base, baseline_origin=Origin.RECORDED)
        wants = [Want(replace(subject, may_load=may_load), specs, **more)]
        (found,) = evidence_for(wants, registry=lambda: registry, cache=cache, reports=reports)
        return found

    return ask


def test_a_model_is_tried_once_for_each_interpreter(ask, tried, pins):
    """What was good is known the next time; another interpreter may not be able to."""
    name = pins["8"].digest.removeprefix("sha256:")
    assert ask(SMOKE).smoke == SmokeReport(rows=3)
    assert ask(SMOKE).smoke == SmokeReport(rows=3)
    assert tried == [(name, sys.executable)]
    ask(SMOKE, python="/opt/own/bin/python")
    assert tried == [(name, sys.executable), (name, "/opt/own/bin/python")]


def test_a_bad_trial_is_tried_again(ask, monkeypatch):
    """It may have been the machine."""
    answers = [SmokeReport(error="no memory", errored=True), SmokeReport(rows=1)]
    monkeypatch.setattr(evidences, "_smoke", lambda path, python: answers.pop(0))
    assert ask(SMOKE).smoke.errored
    assert ask(SMOKE).smoke == SmokeReport(rows=1)


@pytest.mark.parametrize(
    "more",
    [{"may_load": False}, {"direction": Direction.BACK}, {"direction": Direction.NONE}, {"files": False}],
    ids=["a pull request of a stranger", "it moves back", "it does not move", "its files are not read"],
)
def test_nothing_is_tried_where_nothing_is_asked(ask, tried, more):
    """The gate says so itself; no process is started for it."""
    assert ask(SMOKE, **more).smoke is None
    assert tried == []


def test_a_refused_scan_keeps_the_model_from_being_tried(ask, tried, reports, pins):
    """Errored with the scan's own words; named under the gate scan, it is tried."""
    reports.keep_scan(pins["8"].digest, NAMES)
    found = ask(SMOKE).smoke
    assert found.errored
    assert found.error.startswith("it was not loaded: loading m.pkl would ")
    assert tried == []
    assert ask(SMOKE, GateSpec("scan", {"allow": ["acme.Model"]})).smoke == SmokeReport(rows=3)


def test_a_scan_that_nobody_made_forbids_too():
    """The order is kept whatever the caller does."""
    want = Want(Subject("production", "risk", None, Direction.FORWARD), (SMOKE,))
    assert evidences._forbidden(want, None) == "nobody looked through its files"


def test_sizes_of_the_version_and_of_what_is_cached(ask, registry, cache, pins):
    """On the host that runs the baseline nobody is asked for it."""
    cache.ensure(pins["7"], registry.facts["risk", "7"], registry)
    registry.described.clear()
    found = ask(SIZE)
    assert (found.size, found.baseline_size, found.baseline_error, found.baseline_gone) == (SIZES["8"], SIZES["7"], "", "")
    assert registry.described == [(("risk", "8"),)]


def test_the_size_of_a_baseline_elsewhere_is_as_the_registry_lists_it(ask, registry):
    """Without a download."""
    assert ask(SIZE).baseline_size == SIZES["7"]
    assert registry.downloaded == [("risk", "8")]


def test_a_first_version_has_only_its_own_size(ask):
    """There is nothing to compare it with."""
    found = ask(SIZE, baseline="")
    assert (found.size, found.baseline_size, found.baseline_gone) == (SIZES["8"], None, "")


def test_a_baseline_that_was_deleted_has_no_size(ask, registry):
    """And is not asked for its files."""
    registry.delete("risk", "7")
    found = ask(SIZE)
    assert (found.baseline_size, found.baseline_gone) == (None, "is no longer in MLflow")


def test_a_registry_that_refuses_the_baseline_is_said(ask, registry):
    """We could not tell: neither gone nor of no size."""
    registry.broken = {("risk", "7")}
    found = ask(SIZE)
    assert (found.size, found.baseline_size, found.baseline_gone) == (SIZES["8"], None, "")
    assert found.baseline_error == "access to this model is denied"


def test_files_that_cannot_be_listed_are_said(ask, registry, monkeypatch):
    """The version is there, its list is not."""
    monkeypatch.setattr(registry, "files", lambda facts: (_ for _ in ()).throw(UnavailableError("no list", hint="later")))
    assert ask(SIZE).baseline_error == "no list; later"


def test_a_baseline_s_signature_that_cannot_be_read_is_said(ask, registry, cache, pins):
    """The registry went away after the versions were described: an error of the baseline's, nothing of the version's."""
    registry.broken = {("risk", "7")}
    found = ask(GateSpec("signature"))
    assert found.baseline_signature is None
    assert found.baseline_error == "access to this model is denied"
    assert found.digest_error == ""


def test_a_registry_that_cannot_even_be_addressed_is_evidence(cache, reports, pins):
    """A variable of its address is not set: an error of each version, and nothing is raised."""

    def connect():
        raise Error("MLFLOW is not set")

    wants = [Want(Subject("production", "risk", pins[version], Direction.FORWARD), (SIZE,)) for version in ("7", "8")]
    found = evidence_for(wants, registry=connect, cache=cache, reports=reports)
    assert [(one.error, one.facts) for one in found] == [("MLFLOW is not set", None)] * 2
