"""The first trial of a version: what a good one gives, and what bad ones cannot do to the place they are tried in."""

from __future__ import annotations

import json
import os
import sys
import time

import psutil
import pytest
from mlrelease.registries.digest import digest_of, manifest
from mlrelease.serving.smoke import smoke
from support.served import ROWS, doubles, save_code, save_sklearn

MEMORY = 4 << 30
GRANTED = "processes of its own"


def with_example(path, payload=ROWS):
    """The model with that payload as its serving example."""
    (path / "serving_input_example.json").write_text(json.dumps(payload))
    with (path / "MLmodel").open("a") as file:
        file.write("saved_input_example_info: {serving_input_path: serving_input_example.json, type: dataframe}\n")
    return path


def tried(path, *, deadline_s=90.0, memory_bytes=MEMORY, python=sys.executable):
    """The report on the model."""
    return smoke(path, deadline_s=deadline_s, memory_bytes=memory_bytes, python=python)


def code(tmp_path, predict, load="pass"):
    """A model of code, with an example of two rows."""
    body = f"def load_context(self, context): {load}\ndef predict(self, context, model_input): {predict}\n"
    return with_example(save_code(tmp_path / "model", body, signature=doubles("x", "y")))


def test_a_good_model_is_loaded_and_predicts(tmp_path):
    """Rows, times and what it was kept from; its files are as they were."""
    path = with_example(save_sklearn(tmp_path / "model"))
    before = digest_of(manifest(path))
    report = tried(path)
    assert (report.error, report.errored, report.rows, report.finite, report.example) == ("", False, 2, True, True)
    assert 0 < report.seconds_to_load < 60
    assert 0 < report.seconds_to_predict < 60
    assert f"{MEMORY >> 20} MiB" in report.isolation
    assert digest_of(manifest(path)) == before


def test_without_an_example_there_is_no_trial(tmp_path):
    """And no process."""
    report = tried(save_sklearn(tmp_path / "model"), python=str(tmp_path / "no python"))
    assert (report.example, report.error) == (False, "")


@pytest.mark.parametrize(
    ("predict", "load", "error"),
    [
        ("return [1.0, 2.0]", "raise RuntimeError('no weights')", "cannot be loaded: RuntimeError: no weights"),
        ("raise RuntimeError('no luck')", "pass", "RuntimeError: no luck"),
        ("return [1.0, 2.0, 3.0]", "pass", "it answers 3 rows for 2"),
        ("return []", "pass", "it answers 0 rows for 2"),
        ("os._exit(0)", "pass", "it ended without a report"),
        ("sys.exit(0)", "pass", "SystemExit: 0"),
        ("os.kill(os.getpid(), 11)", "os.kill(os.getpid(), 9)", ""),
        ("return [bytearray(1 << 33)]", "pass", "MemoryError"),
        ("print('x' * (1 << 28), flush=True); return [1.0, 2.0]", "pass", "File too large"),
        ("return 'x' * 100", "open('/dev/full', 'w').write('x' * 99999)", "No space left"),
    ],
    ids=["does not load", "does not predict", "too many rows", "no rows", "exits past all handlers", "exits", "kills itself",
         "wants too much memory", "prints without end", "writes to a full disk"],
)  # fmt: skip
def test_a_bad_model_fails_in_its_own_words(tmp_path, predict, load, error):
    """The fault is the model's: never errored."""
    report = tried(code(tmp_path, predict, load), memory_bytes=MEMORY)
    assert report.error
    assert error in report.error
    assert not report.errored
    assert "\n" not in report.error


def test_nan_is_told_and_is_no_fault_of_its_own(tmp_path):
    """Whether it opens is the gate's to say."""
    report = tried(code(tmp_path, "return [1.0, math.nan]"))
    assert (report.error, report.rows, report.finite) == ("", 2, False)


def test_a_model_that_never_ends_is_ended(tmp_path):
    """At the deadline, though it ignores every signal that can be ignored."""
    began = time.monotonic()
    load = "import signal; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15, 24)]; time.sleep(600)"
    report = tried(code(tmp_path, "return []", load), deadline_s=10.0)
    assert report.error == "it did not load and predict within 10 s"
    assert time.monotonic() - began < 40


def test_what_it_started_is_ended_with_it(tmp_path):
    """Also what left its session, and though it was told to live on."""
    mark = f"mark-{os.getpid()}-{time.time_ns()}"
    program = f"import time; '{mark}'; time.sleep(600)"
    start = f"import subprocess; subprocess.Popen([sys.executable, '-c', {program!r}], start_new_session=True)"
    report = tried(code(tmp_path, "return [1.0, 2.0]", start))
    if GRANTED not in report.isolation:
        pytest.skip("the kernel gives no process namespace here")
    assert report.error == ""
    end = time.monotonic() + 20
    while any(mark in part for p in psutil.process_iter(["cmdline"]) for part in p.info["cmdline"] or ()):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_bomb_of_processes_ends_with_its_deadline(tmp_path):
    """They multiply, and all of them end with the first."""
    mark = f"bomb-{os.getpid()}-{time.time_ns()}"
    bomb = f"import os, time; '{mark}'; [os.fork() for _ in range(6)]; time.sleep(600)"
    start = f"import subprocess; subprocess.Popen([sys.executable, '-c', {bomb!r}], start_new_session=True); time.sleep(600)"
    report = tried(code(tmp_path, "return []", start), deadline_s=15.0)
    assert report.error == "it did not load and predict within 15 s"
    end = time.monotonic() + 20
    while any(mark in part for p in psutil.process_iter(["cmdline"]) for part in p.info["cmdline"] or ()):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_it_cannot_change_its_files_or_any_other(tmp_path):
    """Neither the artifacts nor anything beside its own empty folder, as whoever it runs."""
    outside = tmp_path / "outside"
    outside.write_text("as it was")
    write = f"""
    told = []
    for place in ({str(tmp_path / "model" / "MLmodel")!r}, {str(outside)!r}, '/etc/mlrelease-was-here'):
        try:
            open(place, 'a').write('x'); told.append(1.0)
        except OSError:
            told.append(0.0)
    open('own', 'w').write('x')
    assert told == [0.0, 0.0, 0.0]
    return [1.0, 2.0]
"""
    path = with_example(save_code(tmp_path / "model", "def predict(self, context, model_input):" + write))
    before = digest_of(manifest(path))
    report = tried(path)
    if "read-only files" not in report.isolation:
        pytest.skip("the kernel gives no mount namespace here")
    assert (report.error, outside.read_text()) == ("", "as it was")
    assert not os.path.exists("/etc/mlrelease-was-here")
    assert digest_of(manifest(path)) == before


def test_it_finds_no_network_and_no_secret(tmp_path, monkeypatch):
    """Neither in its own variables, nor in those of any process that it can see."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2-secret")
    look = """
def predict(self, context, model_input):
    import glob, socket
    found = str(dict(os.environ))
    for place in glob.glob('/proc/[0-9]*/environ'):
        try:
            found += open(place, 'rb').read().decode('latin-1')
        except OSError:
            pass
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))
        found += 'hunter2-network'
    except OSError:
        pass
    assert 'hunter2-' not in found
    return [float(len(glob.glob('/proc/[0-9]*'))), 0.0]
"""
    report = tried(with_example(save_code(tmp_path / "model", look)))
    if "no network" not in report.isolation or "read-only files" not in report.isolation:
        pytest.skip("the kernel gives no namespaces here")
    assert report.error == ""


def test_a_missing_interpreter_says_nothing_of_the_model(tmp_path):
    """Errored: the place is at fault."""
    report = tried(with_example(save_sklearn(tmp_path / "model")), python=str(tmp_path / "python"))
    assert report.errored
    assert "cannot start" in report.error


def test_an_interpreter_without_mlflow_says_nothing_of_the_model(tmp_path):
    """The same: its libraries are the service's affair."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'the place for the trial cannot be made: no MLflow' >&2\nexit 3\n")
    python.chmod(0o755)
    report = tried(with_example(save_sklearn(tmp_path / "model")), python=str(python))
    assert (report.errored, report.error) == (True, "the place for the trial cannot be made: no MLflow")


@pytest.mark.parametrize("said", ["", "{}x", "[]", '{"rows": 1, "other": 2}', "x" * 70_000])
def test_a_report_that_is_none_is_a_failure(tmp_path, said):
    """Whatever the process wrote in its place."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat > /dev/null\nprintf '%s' '{said}'\n")
    python.chmod(0o755)
    report = tried(with_example(save_sklearn(tmp_path / "model")), python=str(python))
    assert (report.error, report.errored) == ("it ended without a report", False)


def test_a_strange_example_is_a_failure(tmp_path):
    """It is part of the version."""
    path = with_example(save_sklearn(tmp_path / "model"))
    (path / "serving_input_example.json").write_text("no json")
    assert tried(path).error == "the serving example is not JSON"
