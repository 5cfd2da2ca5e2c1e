"""From pins to what can be loaded: goldens asked for at once, computed together where nobody has, and only once."""

from __future__ import annotations

import pytest
from mlrelease.delivery import artifacts, interpreter
from mlrelease.delivery.artifacts import golden_of, make_launch
from mlrelease.delivery.probes import VerificationFailed
from mlrelease.errors import Error, UnavailableError
from support.fleet import FleetWorld, golden

SETTINGS = {"replicas": 3, "golden_rtol": {"books-0001": 0.5}}


@pytest.fixture
def fleet(tmp_path):
    """Four models of one service, two versions each, with goldens in the ledger."""
    return FleetWorld(tmp_path / "w", services=("books",), per_service=4).create()


@pytest.fixture
def unknown(tmp_path):
    """The same without goldens."""
    return FleetWorld(tmp_path / "w", services=("books",), per_service=4, with_goldens=False).create()


def bundle_of(world):
    return world.site().environment.services["books"].bundle


class Computing:
    """Stands in for the isolated process: answers for each folder by the name of its model, and remembers what was asked."""

    def __init__(self, world, failing=()):
        self.by_digest = {pin.digest.removeprefix("sha256:"): pin for pin in world.pins.values()}
        self.failing = failing
        self.calls = []

    def __call__(self, paths, *, python):
        pins = [self.by_digest[path.name] for path in paths]
        self.calls.append(([pin.name for pin in pins], python))
        return tuple(Error("cannot predict") if pin.name in self.failing else golden(pin) for pin in pins)


def test_a_launch_holds_every_model_with_its_golden_predictions(fleet):
    """Verified folders, goldens, tolerances and replicas of all models, in the bundle's order."""
    launch = make_launch(fleet.site(), bundle_of(fleet), SETTINGS)
    assert [artifact.name for artifact in launch.artifacts] == [f"books-{n:04}" for n in range(4)]
    assert [artifact.golden["predictions"] for artifact in launch.artifacts] == [[0.1], [1.1], [2.1], [3.1]]
    assert [artifact.golden_rtol for artifact in launch.artifacts] == [1e-6, 0.5, 1e-6, 1e-6]
    assert (launch.replicas, launch.python) == (3, "")


def test_known_goldens_are_one_look_into_the_ledger(fleet, monkeypatch):
    """A fleet does not ask git once for each model."""
    site, bundle = fleet.site(), bundle_of(fleet)
    make_launch(site, bundle, SETTINGS)
    looks = []
    blobs = type(site.git).blobs
    monkeypatch.setattr(type(site.git), "blobs", lambda git, shas: looks.append(len(shas)) or blobs(git, shas))
    make_launch(site, bundle, SETTINGS)
    assert looks == [4]


def test_unknown_goldens_are_computed_together_and_kept(unknown, monkeypatch):
    """One call for all of them, one commit, and none the next time."""
    computing = Computing(unknown)
    monkeypatch.setattr(artifacts, "compute_goldens", computing)
    launch = make_launch(unknown.site(), bundle_of(unknown), SETTINGS)
    assert [names for names, _ in computing.calls] == [[f"books-{n:04}" for n in range(4)]]
    assert [artifact.golden["predictions"] for artifact in launch.artifacts] == [[0.1], [1.1], [2.1], [3.1]]
    computing.calls.clear()
    make_launch(unknown.site(), bundle_of(unknown), SETTINGS)
    assert computing.calls == [([], computing.calls[0][1])]


def test_one_model_that_cannot_predict_fails_by_name_and_the_rest_is_kept(unknown, monkeypatch):
    """The failure names the model; what the others answered is not computed again."""
    computing = Computing(unknown, failing=("books-0002",))
    monkeypatch.setattr(artifacts, "compute_goldens", computing)
    for expected in ([f"books-{n:04}" for n in range(4)], ["books-0002"]):
        computing.calls.clear()
        with pytest.raises(VerificationFailed) as failed:
            make_launch(unknown.site(), bundle_of(unknown), SETTINGS)
        assert computing.calls[0][0] == expected
        assert failed.value.probe.name == "golden:books-0002"
        assert failed.value.probe.reason == "in isolation: cannot predict"


def test_a_process_that_cannot_start_says_nothing_of_the_models(unknown, monkeypatch):
    """Unavailable is errored, never failed: no version is rejected for it."""

    def broken(paths, *, python):
        raise UnavailableError("cannot start python")

    monkeypatch.setattr(artifacts, "compute_goldens", broken)
    with pytest.raises(UnavailableError):
        make_launch(unknown.site(), bundle_of(unknown), SETTINGS)


def test_the_service_s_interpreter_computes_and_serves(unknown, monkeypatch):
    """Golden predictions come from the interpreter that will serve, after it was asked whether it can."""
    asked, computing = [], Computing(unknown)
    monkeypatch.setattr(artifacts, "compute_goldens", computing)
    monkeypatch.setattr(interpreter, "check_interpreter", asked.append)
    launch = make_launch(unknown.site(), bundle_of(unknown), {**SETTINGS, "python": "/opt/own/bin/python"})
    assert asked == ["/opt/own/bin/python"]
    assert computing.calls[0][1] == "/opt/own/bin/python"
    assert launch.python == "/opt/own/bin/python"


def test_an_interpreter_that_cannot_serve_stops_before_anything_is_read(fleet):
    """The error comes before a byte is downloaded."""
    with pytest.raises(Error, match="not there or cannot be run"):
        make_launch(fleet.site(), bundle_of(fleet), {**SETTINGS, "python": "/no/such/python"})
    assert fleet.registry.downloaded == []


def test_a_golden_that_is_not_to_be_computed_is_none(unknown):
    """Who only looks gets what is known."""
    site = unknown.site()
    pin = unknown.pins["books-0000", "1"]
    assert golden_of(site, pin.digest) is None
    site.ledger.put_golden(pin.digest, golden(pin))
    assert golden_of(site, pin.digest) == golden(pin)
