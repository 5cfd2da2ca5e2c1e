from __future__ import annotations

import os
import sys
import time

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.serving.golden import Golden, compute
from support.served import ROWS, doubles, save_code, save_sklearn

MEMORY = 4 << 30


def _compute(path, payload=ROWS, *, deadline_s=60.0, memory_bytes=MEMORY):
    return compute(path, payload, deadline_s=deadline_s, memory_bytes=memory_bytes, python=sys.executable)


def test_a_model_answers_its_example_in_isolation(tmp_path):
    """The predictions come back with what held while they were made, and survive their JSON."""
    golden = _compute(save_sklearn(tmp_path / "model"))
    assert golden.predictions == pytest.approx([21.0, 43.0])
    assert golden.isolation["memory_bytes"] == MEMORY
    assert golden.isolation["network"] in ("none", "host")
    assert golden.mlflow
    assert Golden.from_json(golden.to_json()) == golden


def test_the_model_sees_no_variable_of_ours(tmp_path, monkeypatch):
    """Credentials and addresses in our environment do not reach the model, and what it prints does not reach the answer."""
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "GITHUB_TOKEN", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "hunter2")
    body = """
        def predict(self, context, model_input):
            print('{"predictions": "noise"}')
            return [name + "=" + value for name, value in sorted(os.environ.items())] + [os.getcwd()]
    """
    predictions = _compute(save_code(tmp_path / "model", body)).predictions
    names = {line.partition("=")[0] for line in predictions[:-1]}
    assert "hunter2" not in str(predictions)
    assert not {name for name in names if name.startswith(("AWS_", "GITHUB_"))}
    assert {name for name in names if name.startswith("MLFLOW_")} == {"MLFLOW_DISABLE_TELEMETRY"}
    assert predictions[-1] != os.getcwd()


def test_the_network_is_gone_where_isolation_says_so(tmp_path):
    """With `network: none` not even the loopback address can be reached."""
    body = """
        def predict(self, context, model_input):
            import socket
            listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                listener.connect(("127.0.0.1", 9))
            except OSError as e:
                return [type(e).__name__]
            return ["reachable"]
    """
    golden = _compute(save_code(tmp_path / "model", body))
    if golden.isolation["network"] != "none":
        pytest.skip(f"the kernel gives no network namespace here: {golden.isolation['network_reason']}")
    assert golden.predictions == ["OSError"]


@pytest.mark.parametrize(
    ("method", "body", "text"),
    [
        pytest.param(
            "load_context", "raise RuntimeError('no weights')", "loaded: RuntimeError: no weights", id="does not load"
        ),
        pytest.param("predict", "raise RuntimeError('no luck')", "RuntimeError: no luck", id="does not predict"),
        pytest.param("predict", "return [object()]", "cannot be written as JSON", id="answers no JSON"),
        pytest.param("predict", "sys.exit(0)", "SystemExit: 0", id="exits with success"),
        pytest.param("predict", "os._exit(0)", "without an answer", id="exits past all handlers"),
        pytest.param("predict", "os.kill(os.getpid(), 11)", "ended by signal 11", id="crashes"),
        pytest.param("predict", "return [bytearray(1 << 32)]", "MemoryError", id="wants too much memory"),
    ],
)
def test_a_model_that_fails_is_an_error_with_its_own_words(tmp_path, method, body, text):
    """The last line of the child is the message."""
    bodies = {"load_context": "pass", "predict": "return [1]"} | {method: body}
    code = f"def load_context(self, context): {bodies['load_context']}\n"
    code += f"def predict(self, context, model_input): {bodies['predict']}\n"
    path = save_code(tmp_path / "model", code, signature=doubles("x", "y"))
    with pytest.raises(Error) as caught:
        _compute(path)
    assert text in caught.value.message
    assert "\n" not in caught.value.message


def test_what_hangs_is_ended_with_its_children(tmp_path):
    """At the deadline the whole process group goes; here a stand-in for the interpreter that starts a child and waits."""
    pids, python = tmp_path / "pids", tmp_path / "python"
    python.write_text(f"#!/bin/sh\nsleep 60 &\necho $$ $! > {pids}\nwait\n")
    python.chmod(0o755)
    with pytest.raises(Error, match=r"within 1\.5 s"):
        compute(tmp_path, ROWS, deadline_s=1.5, memory_bytes=MEMORY, python=str(python))
    end = time.monotonic() + 20
    for pid in pids.read_text().split():
        while _runs(pid):
            assert time.monotonic() < end
            time.sleep(0.01)


def _runs(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_missing_interpreter_says_nothing_about_the_model(tmp_path):
    """That is another kind of error: later may be better."""
    with pytest.raises(UnavailableError):
        compute(tmp_path, ROWS, deadline_s=5, memory_bytes=MEMORY, python=str(tmp_path / "python"))


def test_golden_predictions_of_a_newer_schema_are_refused():
    """Nothing is guessed about a form that is not known."""
    with pytest.raises(Error):
        Golden.from_json({"schema": 2})
