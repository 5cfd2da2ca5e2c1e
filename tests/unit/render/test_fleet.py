"""How a service of many models is shown: named while they fit, counted beyond."""

from __future__ import annotations

import pytest
from mlrelease.model.bundle import Bundle, Digest, ImagePin, ModelPin
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import Probe, ServiceReceipt
from mlrelease.render.plan import _proofs, label, names

IMAGE = ImagePin("ghcr.io/acme/serve:1.0.0@sha256:" + "a" * 64)


def bundle(count):
    """A bundle of so many models, m00 and so on."""
    return Bundle("fleet", IMAGE, tuple(ModelPin(f"m{i:02}", "1", Digest(f"sha256:{i:064x}")) for i in range(count)))


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "serve:1.0.0"),
        (1, "m00 1"),
        (4, "m00 1, m01 1, m02 1, m03 1"),
        (5, "m00 1, m01 1, m02 1, and 2 more"),
        (34, "m00 1, m01 1, m02 1, and 31 more"),
    ],
    ids=["none: the image", "one", "as many as fit", "one too many", "a fleet"],
)
def test_a_bundle_names_the_models_that_fit(count, shown):
    """The id stands behind them in any case."""
    found = bundle(count)
    assert label(found).endswith(f"{shown} ({found.id[:7]})")


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (2, "fleet: proved by golden:m00 ×2, golden:m01 ×2, identity ×2"),
        (34, "fleet: proved by identity ×2, golden predictions of 34 models ×68"),
    ],
    ids=["two models are named", "a fleet is counted"],
)
def test_golden_proofs_of_a_fleet_are_counted(count, shown):
    """One line, however many models there are; none is left out of the count."""
    names = [f"golden:m{i:02}" for i in range(count)] + ["identity"]
    probes = tuple(Probe(name, "passed", "", instance) for name in names for instance in ("a", "b"))
    receipt = ServiceReceipt(Outcome.SUCCEEDED, ChangeKind.CREATE, Direction.FORWARD, "", None, bundle(count), probes=probes)
    assert _proofs("fleet", receipt) == [shown]


def test_a_golden_probe_that_was_skipped_is_named():
    """What could not be proved is said for each model, also in a fleet."""
    probes = tuple(
        Probe(f"golden:m{i:02}", "skipped" if i == 7 else "passed", "the version has no input example") for i in range(34)
    )
    receipt = ServiceReceipt(Outcome.SUCCEEDED, ChangeKind.CREATE, Direction.FORWARD, "", None, bundle(34), probes=probes)
    assert _proofs("fleet", receipt) == [
        "fleet: proved by golden predictions of 33 models ×33",
        "fleet: golden:m07 skipped: the version has no input example",
    ]


def test_a_name_without_the_id_is_for_sentences():
    """The subject of a commit that takes a fleet back stays one line."""
    assert names(bundle(34)) == "m00 1, m01 1, m02 1, and 31 more"
