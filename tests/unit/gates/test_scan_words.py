"""What the gate `scan` says in full, what its default policy leaves out, and what a policy of few letters allows."""

from __future__ import annotations

import pytest
from mlrelease.gates.interface import Evidence, ScannedFile, ScanReport
from mlrelease.gates.scan import MOST_NAMES, refusal
from mlrelease.gates.scan_names import ALLOWED, LOADERS, NAMES
from mlrelease.model.gate import GateStatus
from support.gating import PIN, READY, judge, subject

PASSED, FAILED, ERRORED, INCONCLUSIVE, SKIPPED = GateStatus


def scanned(*found):
    return Evidence(READY, asked=True, found_digest=PIN.digest, scan=ScanReport(found, "a scanner"))


@pytest.mark.parametrize(
    ("files", "counted"),
    [
        ((ScannedFile("m", "pickle"),), "0 names in 1 file, all allowed"),
        ((ScannedFile("m", "pickle", ("numpy.ndarray",)),), "1 name in 1 file, all allowed"),
        ((ScannedFile("m", "pickle", ("numpy.ndarray", "numpy.dtype")),) * 2, "2 names in 2 files, all allowed"),
    ],
    ids=["none in one", "one in one", "two in two"],
)
def test_what_was_looked_at_is_counted(files, counted):
    """One is one."""
    assert judge("scan", {}, subject(), scanned(*files)).reason == counted


def test_what_nobody_asked_about_is_not_said_to_be_missing():
    """Without an answer there is no word on whether the version exists."""
    result = judge("scan", {}, subject(), Evidence())
    assert (result.status, result.reason) == (SKIPPED, "files are read for changed pins only")


def test_a_refusal_keeps_all_that_was_found():
    """Names with their files, what could not be read, what is known from attacks once, and who looked."""
    evil = ("my.Net", "posix.system")
    files = (
        ScannedFile("b.pkl", "pickle", evil, "the pickle has no end", ("posix.system",)),
        ScannedFile("a.pkl", "pickle", evil, known=("posix.system",)),
    )
    result = judge("scan", {"allow": ["his.*"]}, subject(), scanned(*files))
    assert (result.status, result.reason, dict(result.evidence)) == (
        FAILED,
        "loading b.pkl would import posix.system, which is not allowed",
        {
            "refused": ["b.pkl: posix.system", "a.pkl: posix.system", "b.pkl: my.Net", "a.pkl: my.Net"],
            "more": 0,
            "problems": ["b.pkl: the pickle has no end"],
            "known": ["posix.system"],
            "scanner": "a scanner",
        },
    )


@pytest.mark.parametrize("count", [MOST_NAMES, MOST_NAMES + 1], ids=["as many as are kept", "one more"])
def test_every_list_of_a_receipt_is_bounded(count):
    """Files, names and problems alike; how many names are left out is told."""
    clean = tuple(ScannedFile(f"{n:03}", "pickle") for n in range(count))
    assert len(judge("scan", {}, subject(), scanned(*clean)).evidence["files"]) == MOST_NAMES
    names = tuple(f"evil.n{n:03}" for n in range(count))
    evil = tuple(ScannedFile(name, "pickle", (name,), "no end", (name,)) for name in names)
    found = judge("scan", {}, subject(), scanned(*evil)).evidence
    assert [len(found[kind]) for kind in ("refused", "problems", "known")] == [MOST_NAMES] * 3
    assert found["more"] == count - MOST_NAMES


@pytest.mark.parametrize(
    ("name", "form", "act"),
    [
        ("file:code/a.py", "python code", "run code/a.py (python code)"),
        ("file:m.h5", "HDF5", "read m.h5 (HDF5)"),
        ("loader:evil", "MLmodel", "import evil to load with"),
        ("file:", "pickle", "import file:"),
        ("loader:", "pickle", "import loader:"),
        ("evil.x", "pickle", "import evil.x"),
        ("evil:x", "pickle", "import evil:x"),
    ],
    ids=["a source", "a file", "a loader", "a file without a name", "a loader without one", "a name", "a name with a colon"],
)
def test_what_loading_would_do_is_said_in_words(name, form, act):
    """Also of a file that has no path of its own."""
    assert refusal(ScanReport((ScannedFile("m", form, (name,)),), "s"), ()) == f"loading m would {act}, which is not allowed"
    assert refusal(ScanReport((ScannedFile("", form, (name,)),), "s"), ()) == f"loading it would {act}, which is not allowed"


@pytest.mark.parametrize(
    "name",
    [
        "builtins.getattr",
        "builtins.eval",
        "builtins.exec",
        "builtins.type",
        "builtins.map",
        "builtins.__import__",
        "operator.attrgetter",
        "operator.itemgetter",
        "functools.partial",
        "zoneinfo.ZoneInfo",
        "numpy.load",
        "numpy.testing.runstring",
        "pandas.read_pickle",
        "statsmodels.iolib.smpickle.load_pickle",
        "patsy.EvalEnvironment",
        "joblib.numpy_pickle.NumpyArrayWrapper",
        "cloudpickle.cloudpickle._make_function",
        "dill._dill._create_function",
        "os.system",
        "posix.system",
        "subprocess.Popen",
    ],
)
def test_what_reaches_or_keeps_something_to_call_is_not_in_the_policy(name):
    """Each is left out on purpose; adding one would open every gate of everybody."""
    assert refusal(ScanReport((ScannedFile("m", "pickle", (name,)),), "s"), ()) != ""


@pytest.mark.parametrize(
    ("name", "allow", "opens"),
    [
        ("my.other", ["my.x"], False),
        ("my.x", ["my.x"], True),
        ("a.B", ["a.*"], True),
        (".evil", [".*"], False),
        ("/evil", ["/*"], False),
        ("my.", ["my.*"], True),
        ("my.x", [""], False),
    ],
    ids=[
        "a name of one letter is no pattern",
        "but itself",
        "a module of one letter",
        "a dot alone is no module",
        "a slash alone is no folder",
        "a name that is empty",
        "nothing allows nothing",
    ],
)
def test_what_a_policy_of_few_letters_allows(name, allow, opens):
    """The star makes the pattern, and something stands before it."""
    assert (refusal(ScanReport((ScannedFile("m", "pickle", (name,)),), "s"), allow) == "") is opens


def test_the_default_policy_is_of_exact_names():
    """No pattern, no module as a whole, nothing of the kind `file:`; loaders are MLflow's own."""
    assert ALLOWED == NAMES | LOADERS
    assert all(all(part.isidentifier() for part in name.split(".")) and "." in name for name in NAMES)
    assert all(name.startswith("loader:mlflow.") for name in LOADERS)
    roots = {name.partition(".")[0] for name in NAMES}
    assert not roots & {"os", "posix", "sys", "subprocess", "importlib", "operator", "functools", "pickle", "shutil", "socket"}
