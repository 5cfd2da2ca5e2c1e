"""What the parents of golden predictions and trials make of their child: small programs stand in for the interpreter."""

from __future__ import annotations

import json
import os

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.errors import Error, UnavailableError
from mlrelease.gates.interface import SmokeReport
from mlrelease.serving import golden, goldens, smoke
from mlrelease.serving.golden import LARGEST_ANSWER, Golden
from support.local_target import wait_for

PAYLOAD = {"inputs": [1.0]}
ANSWER = {"predictions": [2.0], "isolation": {"network": "none"}, "mlflow": "3.17.2"}
GOLDEN = Golden(PAYLOAD, [2.0], {"network": "none"}, "3.17.2")
DEEP = "[" * 200_000


@pytest.fixture
def python(tmp_path):
    """Makes an interpreter of a shell script, whose `$4` is the model's folder."""

    def make(script):
        file = tmp_path / "python"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return str(file)

    return make


@pytest.fixture
def model(tmp_path):
    """A folder with an example of two rows; nothing in it is ever loaded."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "example.json").write_text(json.dumps({"dataframe_records": [{"x": 1.0}, {"x": 2.0}]}))
    (folder / "MLmodel").write_text(
        "flavors: {python_function: {loader_module: x}}\nsaved_input_example_info: {serving_input_path: example.json}\n"
    )
    return folder


def said(tmp_path, text):
    """A script that writes this text, whatever is in it."""
    (tmp_path / "said").write_text(text)
    return f"cat > /dev/null\ncat {tmp_path / 'said'}"


# ---- golden predictions


def compute(model, python, *, deadline_s=20.0):
    return golden.compute(model, PAYLOAD, deadline_s=deadline_s, memory_bytes=1 << 30, python=python)


def test_the_child_gets_the_request_the_limits_and_nothing_of_ours(tmp_path, python, model, monkeypatch):
    """Arguments, standard input, an empty home to work in, and an environment that is an allow-list."""
    monkeypatch.setenv("GITHUB_TOKEN", "hunter2")
    seen = tmp_path / "seen"
    seen.mkdir()
    script = f'echo "$@" > {seen}/arguments; cat > {seen}/request; env > {seen}/env; pwd > {seen}/pwd; ls > {seen}/ls\n'
    assert compute(model, python(script + f"echo '{json.dumps(ANSWER)}'"), deadline_s=20.4) == GOLDEN
    arguments = (seen / "arguments").read_text().split()
    assert arguments == [
        "-P", "-m", "mlrelease.serving.golden", str(model), "--memory", str(1 << 30), "--cpu", "20",
    ]  # fmt: skip
    assert json.loads((seen / "request").read_text()) == PAYLOAD
    variables = dict(line.partition("=")[::2] for line in (seen / "env").read_text().splitlines())
    home = (seen / "pwd").read_text().strip()
    assert variables.keys() - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        "PATH", "HOME", "TMPDIR", "LANG", "PYTHONDONTWRITEBYTECODE", "MLFLOW_DISABLE_TELEMETRY", "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS", "PYTHONPATH",
    }  # fmt: skip
    assert (variables["HOME"], variables["TMPDIR"], (seen / "ls").read_text()) == (home, home, "")
    assert not os.path.exists(home)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo one >&2; echo ' the model cannot be loaded: X ' >&2; echo >&2; exit 1", "the model cannot be loaded: X"),
        ("exit 1", "exit code 1: it said nothing"),
        ("echo why >&2; exit 7", "exit code 7: why"),
        ("echo why >&2; kill -11 $$", "was ended by signal 11: why"),
        ("kill -9 $$", "was ended by signal 9: it said nothing"),
        ("kill -XCPU $$", "the model used more than 20 s of processor time"),
        ("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", "x" * 500),
        ("printf 'a\\033[31mred\\007' >&2; exit 1", "a [31mred "),
        ("exit 0", "the isolated process ended without an answer"),
        ("echo '{'", "the isolated process ended without an answer"),
        ("echo '[]'", "the isolated process ended without an answer"),
        ("echo '{}'", "the isolated process ended without an answer"),
        ("head -c 200000 /dev/zero | tr '\\0' '['", "the isolated process ended without an answer"),
    ],
    ids=[
        "its own last words, which end with a blank line",
        "code 1 without a word",
        "another code with its last words",
        "a crash",
        "killed by the machine, for memory",
        "too much processor time",
        "one line without end",
        "colours and bells",
        "success without an answer",
        "half an answer",
        "an answer of another kind",
        "an answer without predictions",
        "an answer that is nested without end",
    ],
)
def test_a_child_that_fails_is_an_error_with_its_reason(python, model, script, message):
    """One line for people, and the folder of the model."""
    with pytest.raises(Error) as caught:
        compute(model, python(script))
    assert (caught.value.message, caught.value.where) == (message, str(model))
    assert not isinstance(caught.value, UnavailableError)


def test_an_answer_that_is_too_large_for_the_ledger_is_refused(python, model):
    """One byte more than is allowed."""
    with pytest.raises(Error, match=r"^the golden predictions are larger than 16 MiB$"):
        compute(model, python(f"head -c {LARGEST_ANSWER + 1} /dev/zero"))


def test_the_deadline_is_told_as_it_was_given(python, model):
    """Without a row of zeros."""
    with pytest.raises(Error, match=r"^the model did not load and predict within 0\.2 s$"):
        compute(model, python("sleep 60"), deadline_s=0.2)


@pytest.mark.parametrize("path", ["/nonexistent/python", "/etc/hostname", "/tmp"])
def test_what_cannot_be_started_is_unavailable(model, path):
    """Nothing is known of the model: later may be better."""
    with pytest.raises(UnavailableError) as caught:
        compute(model, path)
    assert caught.value.message.startswith(f"cannot start {path}: ")
    assert caught.value.hint == "name an interpreter that exists"


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=2), max_leaves=4)


def without(key):
    return lambda data: {k: v for k, v in data.items() if k != key}


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=3), JSON, max_size=2), JSON, st.dictionaries(st.text(max_size=3), JSON, max_size=2))
def test_golden_predictions_survive_the_ledger(payload, predictions, isolation):
    """Through JSON and back."""
    one = Golden(payload, predictions, isolation, "3.17.2")
    assert Golden.from_json(json.loads(json.dumps(one.to_json()))) == one


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda d: d | {"schema": 2}, Error), (without("schema"), Error), (without("payload"), KeyError),
        (lambda d: d | {"computed_with": None}, TypeError), (lambda d: d | {"computed_with": {}}, KeyError),
    ],
    ids=["newer", "without a schema", "without a request", "damaged", "without its MLflow"],
)  # fmt: skip
def test_other_golden_predictions_are_refused(change, kind):
    """A schema that is not known is an error for people, damage one for the ledger's reader."""
    with pytest.raises(kind) as caught:
        Golden.from_json(change(GOLDEN.to_json()))
    if kind is Error:
        assert caught.value.hint == "written by a newer mlrelease: upgrade"


def test_what_a_model_raises_is_one_line_with_its_cause():
    """Both cut, so that nobody's data fills a receipt."""
    error = ValueError("  first line\nsecond line")
    assert golden.cannot("be loaded", error) == "the model cannot be loaded: ValueError: first line"
    error.__cause__ = KeyError("k" * 500)
    text = golden.cannot("predict its own example", error)
    assert text.startswith("the model cannot predict its own example: ValueError: first line (KeyError: 'kkk")
    assert len(text) < 320
    assert len(golden.cannot("x", ValueError("v" * 999))) == len("the model cannot x: ValueError: ") + 300


# ---- golden predictions of many


def many(python, *folders):
    requests = [goldens.Request(folder, PAYLOAD) for folder in folders]
    return goldens.compute_many(requests, deadline_s=5.0, memory_bytes=1 << 30, python=python)


def test_each_model_has_the_answer_of_its_own_file(tmp_path, python):
    """In the order asked, and each failure with the folder that it is about."""
    folders = [tmp_path / name for name in "abcdefg"]
    answers = {
        "0": json.dumps(ANSWER),
        "1": json.dumps({"error": "the model cannot be loaded: X\x1b[31m\n" + "y" * 700}),
        "2": "{",
        "3": DEEP,
        "4": '"error"',
        "5": json.dumps({"predictions": [1]}),
    }
    for name, text in answers.items():
        (tmp_path / f"answer-{name}").write_text(text)
    copies = "\n".join(f"cp {tmp_path}/answer-{name} $4/{name}" for name in answers)
    found = many(python(f"cat > {tmp_path}/request\n{copies}\necho last words >&2\nexit 3"), *folders)
    broken = "the isolated process ended without an answer"
    assert found[0] == GOLDEN
    assert [(e.message, e.where) for e in found[1:]] == [
        (("the model cannot be loaded: X [31m " + "y" * 700)[:600], str(folders[1])),
        *[(broken, str(folder)) for folder in folders[2:6]],
        ("the isolated process ended early: last words", str(folders[6])),
    ]
    asked = json.loads((tmp_path / "request").read_text())
    assert asked == [{"dir": str(folder), "payload": PAYLOAD} for folder in folders]


def test_a_child_that_says_nothing_is_told_so(tmp_path, python):
    """For each model that it left without an answer; one that is too large is none."""
    (tmp_path / "large").write_bytes(b" " * (LARGEST_ANSWER + 1))
    found = many(python(f"cp {tmp_path}/large $4/1"), tmp_path / "a", tmp_path / "b")
    assert [e.message for e in found] == [
        "the isolated process ended early: it said nothing", "the golden predictions are larger than 16 MiB",
    ]  # fmt: skip


# ---- trials

FINE = SmokeReport(rows=2, seconds_to_load=0.5, seconds_to_predict=0.25, isolation="no network")


def tried(model, python, *, deadline_s=20.0):
    return smoke.smoke(model, deadline_s=deadline_s, memory_bytes=1 << 30, python=python)


def report(**changes):
    from dataclasses import asdict

    return json.dumps(asdict(FINE) | changes)


def test_the_report_of_the_child_is_the_report(tmp_path, python, model):
    """As it was written."""
    assert tried(model, python(said(tmp_path, report()))) == FINE


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": "2"}, {"rows": 2.0}, {"rows": True}, {"rows": -1}, {"rows": None}, {"seconds_to_load": "0"},
        {"seconds_to_load": -1.0}, {"seconds_to_load": float("inf")}, {"seconds_to_predict": float("nan")},
        {"finite": 1}, {"finite": "yes"}, {"example": False}, {"errored": True}, {"error": None}, {"error": ["x"]},
        {"isolation": 5}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_report_that_a_model_could_have_written_is_read_by_kind(tmp_path, python, model, changes):
    """The model runs in the process that writes it: another kind would break the gate, a lie of "no example" would pass it."""
    answer = tried(model, python(said(tmp_path, report(**changes))))
    assert answer == SmokeReport(error="it ended without a report")


def test_a_report_of_a_model_is_shown_without_its_control_characters(tmp_path, python, model):
    """In one line of bounded length: it ends in terminals and pull requests."""
    shown = tried(model, python(said(tmp_path, report(error="a\x1b[31m\r\nb" + "c" * 5000, isolation="x\x00y"))))
    assert (shown.error[:11], len(shown.error), shown.isolation) == ("a [31m  bcc", 1000, "x y")


@pytest.mark.parametrize(
    ("script", "error", "errored"),
    [
        ("exit 0", "it ended without a report", False),
        ("head -c 200000 /dev/zero | tr '\\0' '['", "it ended without a report", False),
        ("head -c 60000 /dev/zero | tr '\\0' '['", "it ended without a report", False),
        ("echo why >&2; exit 9", "it ended with exit code 9: why", False),
        ("exit 1", "it ended with exit code 1: it said nothing", False),
        ("kill -11 $$", "it was ended by signal 11", False),
        ("kill -XCPU $$", "it used more than 20 s of processor time", False),
        ("printf 'no \\033place' >&2; exit 3", "no  place", True),
    ],
    ids=["nothing", "too large", "nested without end", "a code", "no word", "a crash", "processor time", "the place"],
)
def test_a_trial_that_ends_otherwise_says_how(python, model, script, error, errored):
    """Only where the place is at fault is nothing said of the model."""
    assert tried(model, python(script)) == SmokeReport(error=error, errored=errored)


def test_a_trial_that_does_not_end_is_ended(tmp_path, python, model):
    """With what it has started, also outside of its group."""
    script = f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 60' &\nsleep 60"
    assert tried(model, python(script), deadline_s=2.5).error == "it did not load and predict within 2.5 s"
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize(
    ("predictions", "rows", "finite"),
    [
        ([1.0, 2.0], 2, True), ([], 0, True), ({"p": [1.0, 2.0, 3.0], "q": [1.0]}, 3, True), ({}, 0, True), (5.0, 1, True),
        ([None], 1, False), (None, 1, False), ([{"p": 1.0}, {"p": None}], 2, False), ({"p": [[1.0], [float("inf")]]}, 2, False),
        (["nan"], 1, True), ([True, 3], 2, True), (float("nan"), 1, False),
    ],
    ids=str,
)  # fmt: skip
def test_rows_and_gaps_of_an_answer(predictions, rows, finite):
    """Rows of the longest column; null is where a number was not one."""
    assert (smoke._rows(predictions), smoke._is_finite(predictions)) == (rows, finite)


@pytest.mark.parametrize(
    ("payload", "asked"),
    [
        ({"dataframe_split": {"columns": ["x"], "data": [[1], [2]]}}, 2), ({"dataframe_split": [1]}, None),
        ({"dataframe_split": {"columns": ["x"]}}, None), ({"dataframe_records": [{}, {}, {}]}, 3), ({"instances": [1]}, 1),
        ({"inputs": {"x": [1, 2], "y": [3, 4]}}, 2), ({"inputs": {"x": [1, 2], "y": [3]}}, None), ({"inputs": {"x": 1}}, None),
        ({"inputs": "word"}, None), ({"inputs": []}, 0), ({}, None), ({"params": {"a": 1}}, None),
    ],
    ids=str,
)  # fmt: skip
def test_rows_that_were_asked_for(model, payload, asked):
    """None where that cannot be told: then any number of rows is right."""
    assert smoke._asked(payload, model) == asked


def test_forecasts_may_have_other_rows_than_were_asked(model):
    """Statsmodels is asked by start and end."""
    (model / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: mlflow.statsmodels\n")
    assert smoke._asked({"dataframe_records": [{"start": 1, "end": 9}]}, model) is None


def test_without_an_example_nothing_is_started(model):
    """And a broken one is the version's fault."""
    (model / "example.json").write_text("[]")
    assert tried(model, "/nonexistent").error == "the serving example is not a JSON object"
    (model / "MLmodel").write_text("flavors: {}\n")
    assert tried(model, "/nonexistent") == SmokeReport(example=False)


def test_an_interpreter_that_is_missing_is_the_places_fault(model):
    """Errored, not failed."""
    found = tried(model, "/nonexistent/python")
    assert found == SmokeReport(error="cannot start /nonexistent/python: No such file or directory", errored=True)
