"""The gate `scan`: names and files against the policy, and what it says where nobody looked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.gates.interface import Evidence, ScannedFile, ScanReport
from mlrelease.gates.scan import MOST_NAMES, evaluate, refusal
from mlrelease.gates.scan_names import ALLOWED
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateStatus, SkipReason
from support.gating import PIN, READY, subject

PASSED, FAILED, ERRORED, INCONCLUSIVE, SKIPPED = GateStatus
GOOD = ScannedFile("model.pkl", "pickle", ("sklearn.pipeline.Pipeline", "numpy.ndarray"))
LOADER = ScannedFile("MLmodel", "MLmodel", ("loader:mlflow.sklearn",))


def report(*files):
    """What the scanner found."""
    return ScanReport(files, "a scanner")


def word(files, options=None, of=None, **more):
    """The gate's word on a version with these files."""
    evidence = Evidence(READY, asked=True, found_digest=PIN.digest, scan=report(*files), **more)
    return evaluate(options or {}, of or subject(), evidence)


def test_names_of_the_default_policy_open():
    """Each is counted once, with the files that were looked at and who looked."""
    result = word([LOADER, GOOD, GOOD])
    assert (result.status, result.reason) == (PASSED, "3 names in 3 files, all allowed")
    assert result.evidence["files"] == ["MLmodel (MLmodel)", "model.pkl (pickle)", "model.pkl (pickle)"]
    assert result.evidence["scanner"] == "a scanner"


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (
            ScannedFile("m.pkl", "pickle", ("numpy.ndarray", "posix.system")),
            "loading m.pkl would import posix.system, which is not allowed",
        ),
        (
            ScannedFile("m.pkl", "pickle", ("sklearn.pipeline.os",)),
            "loading m.pkl would import sklearn.pipeline.os, which is not allowed",
        ),
        (
            ScannedFile("MLmodel", "MLmodel", ("loader:evil",)),
            "loading MLmodel would import evil to load with, which is not allowed",
        ),
        (
            ScannedFile("code/a.py", "python code", ("file:code/a.py",)),
            "loading code/a.py would run code/a.py (python code), which is not allowed",
        ),
        (ScannedFile("m.h5", "HDF5", ("file:m.h5",)), "loading m.h5 would read m.h5 (HDF5), which is not allowed"),
        (
            ScannedFile("m.pkl", "pickle", (), "the pickle has no end"),
            "m.pkl (pickle) cannot be vouched for: the pickle has no end",
        ),
        (
            ScannedFile("", "the version", (), "the time for scanning is over"),
            "it (the version) cannot be vouched for: the time for scanning is over",
        ),
    ],
    ids=["a dangerous name", "a module's import", "a loader", "a source", "an unread format", "damage", "a limit"],
)
def test_what_is_not_allowed_is_named_with_its_file(file, reason):
    """The reason has the file and the first name; the evidence the rest."""
    result = word([LOADER, GOOD, file])
    assert (result.status, result.reason) == (FAILED, reason)
    assert not result.opens


def test_a_problem_closes_though_every_name_is_allowed():
    """Names up to the damage say nothing of what comes after it."""
    damaged = ScannedFile("m.pkl", "pickle", GOOD.globals, "bytes follow the pickle that are none")
    assert word([damaged]).status is FAILED
    assert word([damaged], {"allow": ["sklearn.*", "file:m.pkl", "file:*", "*"]}).status is FAILED


def test_what_is_known_from_attacks_is_named_first():
    """Whoever reads one line should read the worst."""
    file = ScannedFile("m.pkl", "pickle", ("my.Model", "posix.system"), known=("posix.system",))
    result = word([file])
    assert result.reason == "loading m.pkl would import posix.system, which is not allowed"
    assert result.evidence["refused"] == ["m.pkl: posix.system", "m.pkl: my.Model"]
    assert result.evidence["known"] == ["posix.system"]


@pytest.mark.parametrize(
    ("name", "allow", "opens"),
    [
        ("my.models.Net", [], False),
        ("my.models.Net", ["my.models.Net"], True),
        ("my.models.Net", ["my.models.*"], True),
        ("my.models.Net", ["my.*"], True),
        ("my.models.Net", ["my.mod*"], False),
        ("my.models.Net", ["my.models"], False),
        ("my.models.Net", ["*"], False),
        ("my.models.Net", [".*"], False),
        ("mymodels.Net", ["my.*"], False),
        ("file:code/a/b.py", ["file:code/*"], True),
        ("file:code/a/b.py", ["file:code/a/b.py"], True),
        ("file:code/a/b.py", ["file:cod*"], False),
        ("file:code/a/b.py", ["file:*"], False),
        ("file:code2/b.py", ["file:code/*"], False),
        ("loader:mlflow.onnx", ["loader:mlflow.onnx"], True),
        ("loader:mlflow.onnx", ["mlflow.onnx"], False),
        ("loader:mlflow.onnx", ["mlflow.*"], False),
    ],
    ids=str,
)
def test_the_policy_of_a_model_adds_names_and_whole_modules(name, allow, opens):
    """A pattern ends at a dot or a slash; no pattern stands for everything."""
    assert word([ScannedFile("m", "pickle", (name,))], {"allow": allow}).opens is opens


def test_a_pattern_does_not_let_through_what_is_known_from_attacks():
    """Only the exact name does: whoever allows `torch.*` has not meant `torch.hub.load`."""
    file = ScannedFile("m.pkl", "pickle", ("torch.hub.load",), known=("torch.hub.load",))
    assert word([file], {"allow": ["torch.*"]}).status is FAILED
    assert word([file], {"allow": ["torch.hub.load"]}).status is PASSED


def test_the_evidence_is_bounded():
    """A receipt is kept for ever."""
    result = word([ScannedFile("m.pkl", "pickle", tuple(f"evil.n{n}" for n in range(900)))])
    assert len(result.evidence["refused"]) == MOST_NAMES
    assert result.evidence["more"] == 900 - MOST_NAMES


def test_a_report_on_no_file_does_not_open():
    """A scan that saw nothing vouches for nothing."""
    assert word([]).reason == "the scan looked at no file"
    assert refusal(report(), ()) != ""


@pytest.mark.parametrize(
    ("evidence", "direction", "status", "reason"),
    [
        (Evidence(error="down"), Direction.FORWARD, ERRORED, "down"),
        (Evidence(READY, asked=True, digest_error="no space left"), Direction.FORWARD, ERRORED, "no space left"),
        (
            Evidence(READY, asked=True, found_digest="sha256:" + "f" * 64),
            Direction.FORWARD,
            FAILED,
            "the artifacts are not those of the pin: they were not scanned",
        ),
        (Evidence(None, asked=True), Direction.FORWARD, FAILED, "risk version 8 does not exist: there is nothing to scan"),
        (Evidence(READY, asked=True), Direction.FORWARD, SKIPPED, "files are read for changed pins only"),
        (
            Evidence(READY, asked=True, cached=True, found_digest=PIN.digest),
            Direction.FORWARD,
            ERRORED,
            "the files were not scanned",
        ),
        (Evidence(cached=True), Direction.BACK, SKIPPED, "it was scanned before it was first loaded here"),
        (Evidence(error="down", cached=True), Direction.BACK, SKIPPED, "it was scanned before it was first loaded here"),
        (Evidence(error="down"), Direction.BACK, ERRORED, "down"),
    ],
    ids=[
        "registry down",
        "no files",
        "overwritten",
        "no such version",
        "standing pin",
        "nobody scanned",
        "back",
        "back, registry down",
        "back, not cached",
    ],
)
def test_where_nobody_scanned_the_reason_says_why(evidence, direction, status, reason):
    """Errored, failed and skipped are kept apart."""
    result = evaluate({}, subject(direction), evidence)
    assert (result.status, result.reason) == (status, reason)
    assert result.skip_reason in ((SkipReason.NOT_APPLICABLE, SkipReason.ROLLBACK) if status is SKIPPED else (None,))


def test_an_unknown_option_is_errored():
    """It is no silent wish."""
    assert word([GOOD], {"deny": ["os.*"]}).reason == "the gate has no option 'deny'"


@given(st.lists(st.sampled_from(sorted(ALLOWED)), min_size=1, max_size=20), st.text(min_size=1, max_size=30))
def test_one_name_that_is_not_listed_closes_among_any_that_are(names, other):
    """However many allowed names stand around it."""
    opens = other in ALLOWED
    assert (refusal(report(ScannedFile("m", "pickle", (*names, other))), ()) == "") is opens
    assert refusal(report(ScannedFile("m", "pickle", tuple(names))), ()) == ""
