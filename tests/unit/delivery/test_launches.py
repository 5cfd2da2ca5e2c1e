"""Before a launch: bytes against the pin, the scan before the first load, settings expanded; and reports kept on the host."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mlrelease.delivery import artifacts
from mlrelease.delivery.admission import NotAdmittedError, admit
from mlrelease.delivery.artifacts import admitted, make_launch
from mlrelease.delivery.probes import VerificationFailed
from mlrelease.delivery.reports import Reports
from mlrelease.errors import Error, UnavailableError
from mlrelease.gates.interface import ScannedFile, ScanReport, SmokeReport
from mlrelease.model.bundle import Digest
from mlrelease.model.gate import GateSpec
from mlrelease.model.spec import GOLDEN_RTOL
from structlog.testing import capture_logs

BAD = ScanReport((ScannedFile("model.pkl", "pickle", ("os.system",), known=("os.system",)),), "test")
GOOD = ScanReport((ScannedFile("MLmodel", "loader", ("loader:mlflow.sklearn",)),), "test")
EMPTY = ScanReport((), "test")


def reports(place):
    return Reports(place.root / "state" / "reports")


def unknown(place):
    """Nobody has computed golden predictions yet: the model would be loaded for the first time."""
    place.ledger.stored.clear()
    return place.bundle()


def test_bytes_that_are_not_the_pin_s_fail_by_name(place):
    """What was found is said; nothing of it stays to be loaded."""
    pin = place.bundle().models[0]
    place.registry.contents["wine", "1"] = {"MLmodel": b"other"}
    with pytest.raises(VerificationFailed) as caught:
        make_launch(place.site(), place.bundle(), {})
    probe = caught.value.probe
    assert (probe.name, probe.status) == ("digest:wine", "failed")
    assert probe.reason.startswith("artifacts of wine 1 are not those of the pin: found sha256:")
    assert place.site().cache.get(pin.digest) is None


def test_a_version_that_is_nowhere_is_an_error_with_the_way_out(place):
    """Neither here nor there: it could not be done, and nothing is said against it."""
    place.registry.delete("wine", "1")
    with pytest.raises(Error) as caught:
        make_launch(place.site(), place.bundle(), {})
    assert caught.value.message == "wine version 1 is neither in the cache nor at http://fake"
    assert caught.value.hint == "pin a version that exists: mlrelease history"


def test_what_is_here_needs_no_registry(place):
    """A rollback at night, MLflow away: the same launch from the cache. What is not here says that it is away."""
    first = make_launch(place.site(), place.bundle(), {})
    place.registry.down = True
    assert make_launch(place.site(), place.bundle(), {}) == first
    place.bump("wine", "2")
    with pytest.raises(UnavailableError):
        make_launch(place.site(), place.bundle(), {})


def test_a_damaged_entry_is_fetched_again(place):
    """Hashed before every launch: bytes that rotted are not served."""
    launch = make_launch(place.site(), place.bundle(), {})
    file = launch.artifacts[0].path / "model.bin"
    file.chmod(0o644)
    file.write_bytes(b"rot")
    again = make_launch(place.site(), place.bundle(), {})
    assert (again.artifacts[0].path / "model.bin").read_bytes() == b"wine 1"
    assert place.registry.downloaded == [("wine", "1")] * 2


def test_settings_that_nobody_wrote_have_their_defaults(place):
    """One replica, the common tolerance, the tool's own interpreter, no variables."""
    launch = make_launch(place.site(), place.bundle(), {})
    assert (launch.replicas, launch.python, launch.env) == (1, "", ())
    assert launch.artifacts[0].golden_rtol == GOLDEN_RTOL


def test_variables_are_expanded_for_the_launch_alone(place):
    """The bundle keeps the reference: its id is the same on every host, and no secret is in it."""
    place.variables["DB"] = "secret"
    bundle = place.bump("wine", "1", env=(("DSN", "${DB}/x"), ("MODE", "${MODE:-fast}")))
    launch = make_launch(place.site(), bundle, {})
    assert launch.env == (("DSN", "secret/x"), ("MODE", "fast"))
    assert dict(launch.bundle.settings)["DSN"] == "${DB}/x"
    del place.variables["DB"]
    with pytest.raises(Error, match="DB"):
        make_launch(place.site(), bundle, {})


def test_a_version_that_the_scan_refuses_is_not_loaded(place, monkeypatch):
    """Failed by the scan, with the file and the name; the process that would load it is not even started for it."""
    bundle = unknown(place)
    reports(place).keep_scan(bundle.models[0].digest, BAD)
    asked = []
    monkeypatch.setattr(artifacts, "compute_goldens", lambda paths, *, python: asked.extend(paths) or ())
    with pytest.raises(VerificationFailed) as caught:
        make_launch(place.site(), bundle, {})
    probe = caught.value.probe
    assert (probe.name, probe.status) == ("scan:wine", "failed")
    assert probe.reason.startswith("it was not loaded: loading model.pkl would ")
    assert "os.system" in probe.reason
    assert asked == []


def test_one_version_that_is_refused_does_not_cost_the_others_their_goldens(place, monkeypatch):
    """They are computed and kept, so that the next try does not compute them again."""
    place.bump("wine", "1", "1")
    bundle = unknown(place)
    bad, good = sorted(bundle.models, key=lambda pin: pin.name)
    reports(place).keep_scan(bad.digest, BAD)
    reports(place).keep_scan(good.digest, ScanReport((ScannedFile("MLmodel", "loader"),), "test"))
    monkeypatch.setattr(artifacts, "compute_goldens", lambda paths, *, python: tuple({"predictions": [7]} for _ in paths))
    with pytest.raises(VerificationFailed):
        make_launch(place.site(), bundle, {})
    assert place.ledger.stored == {good.digest: {"predictions": [7]}}


def test_a_version_without_an_example_is_no_failure_and_is_not_stored(place, monkeypatch):
    """There is nothing to keep; its artifact says so."""
    bundle = unknown(place)
    reports(place).keep_scan(bundle.models[0].digest, ScanReport((ScannedFile("MLmodel", "loader"),), "test"))
    monkeypatch.setattr(artifacts, "compute_goldens", lambda paths, *, python: (None,))
    assert make_launch(place.site(), bundle, {}).artifacts[0].golden is None
    assert place.ledger.stored == {}


def test_what_was_verified_here_before_is_loaded_under_a_stricter_policy(running):
    """A repair or a rollback must not end on a rule that came later; the log says so."""
    pin = running.bundle().models[0]
    reports(running).keep_scan(pin.digest, BAD)
    with capture_logs() as lines:
        assert admitted(running.site(), pin, running.root) == running.root
    (line,) = [line for line in lines if line["event"] == "loaded although refused now"]
    assert (line["model"], line["version"]) == ("wine", "1")
    other = running.pin("wine", "2")
    reports(running).keep_scan(other.digest, BAD)
    with pytest.raises(NotAdmittedError):
        admitted(running.site(), other, running.root)


def test_the_model_s_own_gates_say_what_is_allowed(place):
    """Of its file; the environment's where no service has the model any more."""
    pin = place.bundle().models[0]
    reports(place).keep_scan(pin.digest, replace(BAD, files=(ScannedFile("model.pkl", "pickle", ("acme.Model",)),)))
    with pytest.raises(NotAdmittedError) as caught:
        admitted(place.site(), pin, place.root)
    assert caught.value.hint == "what is safe all the same is named under the gate scan: docs/rules.md#scan"
    allow = (GateSpec("scan", {"allow": ["acme.Model"]}),)
    service = place.environment.services["wine"]
    place.want(replace(service, models=tuple(replace(model, gates=allow) for model in service.models)))
    assert admitted(place.site(), pin, place.root) == place.root
    place.want(invalid=["wine"], gates=allow)
    assert admitted(place.site(), pin, place.root) == place.root
    place.want(gates=())
    with pytest.raises(NotAdmittedError):
        admitted(place.site(), pin, place.root)


def test_who_is_admitted_was_scanned_and_the_report_is_kept(place, tmp_path):
    """The first time the files are looked through; the second time the report is read."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "MLmodel").write_text("flavors:\n  python_function: {loader_module: mlflow.sklearn}\n")
    digest = Digest("sha256:" + "a" * 64)
    assert admit(digest, tmp_path / "m", (), reports(place)) == tmp_path / "m"
    kept = reports(place).scan(digest)
    assert kept is not None
    assert kept.files
    (tmp_path / "m" / "MLmodel").unlink()
    assert admit(digest, tmp_path / "m", (), reports(place)) == tmp_path / "m"


def test_a_scan_that_looked_at_nothing_admits_nobody(place):
    """An empty report is no clean bill."""
    digest = Digest("sha256:" + "a" * 64)
    reports(place).keep_scan(digest, EMPTY)
    with pytest.raises(NotAdmittedError, match="the scan looked at no file"):
        admit(digest, place.root, (), reports(place))


# -- reports --------------------------------------------------------------------------------------------------------------

DIGEST = Digest("sha256:" + "b" * 64)


@pytest.mark.parametrize("report", [BAD, GOOD, EMPTY], ids=["bad", "good", "empty"])
def test_a_scan_is_read_as_it_was_kept(tmp_path, report):
    """Tuples and all; another version's is not it."""
    Reports(tmp_path).keep_scan(DIGEST, report)
    assert Reports(tmp_path).scan(DIGEST) == report
    assert Reports(tmp_path).scan(Digest("sha256:" + "c" * 64)) is None


@pytest.mark.parametrize(
    ("report", "kept"),
    [
        (SmokeReport(rows=3, seconds_to_load=0.5), True),
        (SmokeReport(finite=False, rows=1), True),
        (SmokeReport(error="does not load"), False),
        (SmokeReport(error="no memory", errored=True), False),
    ],
    ids=["it did well", "its numbers are the gate's business", "it did badly", "the place was broken"],
)
def test_only_a_smoke_test_that_ended_is_kept(tmp_path, report, kept):
    """A bad word may have been the machine's fault; and each interpreter has its own."""
    Reports(tmp_path).keep_smoke(DIGEST, "/a/python", report)
    assert Reports(tmp_path).smoke(DIGEST, "/a/python") == (report if kept else None)
    assert Reports(tmp_path).smoke(DIGEST, "/b/python") is None
    assert Reports(tmp_path).scan(DIGEST) is None


NEWER = json.dumps({"scanner": "x", "files": [{"path": "p", "format": "f", "globals": [], "known": [], "later": 1}]})
DAMAGED = {
    "empty": b"",
    "torn": b"{",
    "not UTF-8": b"\xff",
    "a list": b"[]",
    "null": b"null",
    "files that are a number": b'{"files": 7, "scanner": "x"}',
    "a file that is a number": b'{"files": [7], "scanner": "x"}',
    "no files": b'{"scanner": "x"}',
    "of a newer scanner": NEWER.encode(),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_report_is_as_if_nobody_had_looked(tmp_path, content):
    """Never a clean bill by accident: it is looked at again."""
    Reports(tmp_path).keep_scan(DIGEST, GOOD)
    Reports(tmp_path).keep_smoke(DIGEST, "", SmokeReport(rows=1))
    for path in tmp_path.iterdir():
        path.write_bytes(content)
    assert Reports(tmp_path).scan(DIGEST) is None
    assert Reports(tmp_path).smoke(DIGEST, "") is None
