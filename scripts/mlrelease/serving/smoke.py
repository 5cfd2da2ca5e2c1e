"""A version's first trial: it is loaded, and predicts its own example, in a process that can harm nothing.

More apart than the process of `golden` (`isolation.confine`), since its outcome is not taken on trust. The parent
(`smoke`) is the standard library and psutil. The child is this module run as a program:
`python -m mlrelease.serving.smoke MODEL_DIR HOME --memory BYTES --cpu SECONDS < request.json > report.json`.
Nobody but the caller knows whether the bytes are those of a pin, and whether the scan let them through: it has to.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mlrelease.errors import Error
from mlrelease.gates.interface import SmokeReport
from mlrelease.registries.mlmodel import serving_example
from mlrelease.serving.collecting import uncollected
from mlrelease.serving.golden import environment, last_line, printable

LARGEST_REPORT = 64 << 10
_PLACE_AT_FAULT = 3
"""The child's exit code when the place could not be made, or has no MLflow: nothing is said of the model."""

_TABLES = ("dataframe_split", "dataframe_records", "instances", "inputs")


def smoke(path: Path, *, deadline_s: float, memory_bytes: int, python: str) -> SmokeReport:
    """How the model in the folder `path` did in a process of its own, run by `python`. Never raises about the model.

    The process sees no variable of ours, no network, no file of the model that it could change, no other process, where
    the kernel grants that (`SmokeReport.isolation` says); all it started is ended with it.
    """
    try:
        payload = serving_example(path)
    except Error as e:
        return SmokeReport(error=e.message)
    if payload is None:
        return SmokeReport(example=False)
    with tempfile.TemporaryDirectory(prefix="mlrelease-smoke-") as folder:
        home, request, answer, said = (Path(folder) / name for name in ("home", "request", "report", "stderr"))
        Path(folder).chmod(0o711)  # another user passes to its own folder, and reads nothing else
        home.mkdir()
        request.write_text(json.dumps(payload))
        command = [python, "-P", "-m", "mlrelease.serving.smoke", str(path.resolve()), str(home)]
        command += ["--memory", str(memory_bytes), "--cpu", str(max(1, round(deadline_s)))]
        with request.open("rb") as stdin, answer.open("wb") as stdout, said.open("wb") as stderr:
            try:
                child = subprocess.Popen(
                    command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=home, env=environment(home), start_new_session=True
                )
            except OSError as e:
                return SmokeReport(error=f"cannot start {python}: {e.strerror}", errored=True)
            code = _wait(child, deadline_s)
        return _report(code, answer, said, deadline_s)


def _wait(child: subprocess.Popen[bytes], deadline_s: float) -> int | None:
    """The exit code, None at the deadline. Ends the child with all that it started, also what left its process group."""
    import psutil  # noqa: PLC0415 - only here

    try:
        return child.wait(deadline_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        started: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            started = psutil.Process(child.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        for process in started:
            with contextlib.suppress(psutil.Error):
                process.kill()
        child.wait()


def _report(code: int | None, answer: Path, said: Path, deadline_s: float) -> SmokeReport:
    if code is None:
        return SmokeReport(error=f"it did not load and predict within {deadline_s:g} s")
    if code == -signal.SIGXCPU:
        return SmokeReport(error=f"it used more than {deadline_s:g} s of processor time")
    last = last_line(said) or "it said nothing"
    if code == _PLACE_AT_FAULT:
        return SmokeReport(error=last, errored=True)
    if code != 0:
        return SmokeReport(error=f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}: {last}")
    try:
        if answer.stat().st_size > LARGEST_REPORT:
            raise ValueError("too large")  # noqa: TRY301 - the same end as for what is no report
        return _checked(json.loads(answer.read_bytes()))
    except (ValueError, TypeError, RecursionError):
        return SmokeReport(error="it ended without a report")


def _checked(data: Mapping[str, Any]) -> SmokeReport:
    """The report that the child wrote, whose model may have written it. Raises `ValueError` or `TypeError` for any other."""
    report = SmokeReport(**data)
    for name, value in asdict(SmokeReport()).items():
        said = getattr(report, name)
        if type(said) is not type(value) or (isinstance(said, float) and not 0 <= said < math.inf):
            raise ValueError(name)
    if report.rows < 0 or not report.example or report.errored:
        raise ValueError("said of a model that was tried")
    return replace(report, error=printable(report.error)[:1000], isolation=printable(report.isolation)[:1000])


# ---- the child


def main(arguments: list[str]) -> int:
    """The child: 0 with a report on stdout; anything else with the reason as the last line on stderr."""
    from mlrelease.serving.isolation import confine  # noqa: PLC0415 - Linux only, the parent needs none of it

    parser = argparse.ArgumentParser(prog="python -m mlrelease.serving.smoke")
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("home", type=Path)
    parser.add_argument("--memory", type=int, required=True, help="bytes of address space")
    parser.add_argument("--cpu", type=int, required=True, help="seconds of processor time")
    options = parser.parse_args(arguments)
    payload = json.load(sys.stdin)
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "wb") as answer:
        os.dup2(2, 1)  # what the model prints must not get into the report
        try:
            held = confine(options.home, options.model_dir, memory_bytes=options.memory, cpu_s=options.cpu)
            with uncollected():
                import mlrelease.serving.scoring  # noqa: F401, PLC0415 - MLflow, under the limits
        except Exception as e:  # noqa: BLE001 - whatever it is, it is no fault of the model
            sys.stderr.write(f"\nthe place for the trial cannot be made: {type(e).__name__}: {_line(e)}\n")
            return _PLACE_AT_FAULT
        report = _trial(options.model_dir, payload, ", ".join(held))
        answer.write(json.dumps(asdict(report)).encode())
    return 0


def _trial(place: Path, payload: Mapping[str, Any], isolation: str) -> SmokeReport:
    """Loads and predicts; the model's own code runs in here."""
    from mlrelease.serving.scoring import load  # noqa: PLC0415

    step, loaded = "be loaded", 0.0
    began = time.monotonic()
    try:
        with uncollected():
            scorer = load(place)
        loaded = time.monotonic() - began
        step = "predict its own example"
        began = time.monotonic()
        predictions = scorer.predict(payload)
    except BaseException as e:  # noqa: BLE001 - whatever the model raises is the reason
        cause = f" ({type(e.__cause__).__name__}: {_line(e.__cause__)})" if e.__cause__ else ""
        error = f"it cannot {step}: {type(e).__name__}: {_line(e)}{cause}"
        return SmokeReport(seconds_to_load=round(loaded, 3), error=error[:1000], isolation=isolation)
    rows, asked = _rows(predictions), _asked(payload, place)
    return SmokeReport(
        rows=rows,
        seconds_to_load=round(loaded, 3),
        seconds_to_predict=round(time.monotonic() - began, 3),
        finite=_is_finite(predictions),
        error="" if asked in (None, rows) else f"it answers {rows} rows for {asked}",
        isolation=isolation,
    )


def _rows(predictions: Any) -> int:
    """Rows of an answer: a list's, or those of its first column."""
    if isinstance(predictions, dict):
        return max((_rows(column) for column in predictions.values()), default=0)
    return len(predictions) if isinstance(predictions, list) else 1


def _asked(payload: Mapping[str, Any], place: Path) -> int | None:
    """Rows of a request; None where an answer may have others: statsmodels' forecasts are asked for by start and end."""
    text = (place / "MLmodel").read_text("utf-8", errors="replace")
    name = next((name for name in _TABLES if name in payload), "")
    if not name or re.search(r"^\s*loader_module: mlflow\.statsmodels\s*$", text, re.MULTILINE):
        return None
    data = payload[name]
    if name == "dataframe_split":
        data = data.get("data") if isinstance(data, dict) else None
    if isinstance(data, dict):
        columns = [value for value in data.values() if isinstance(value, list)]
        return len(columns[0]) if columns and all(len(column) == len(columns[0]) for column in columns) else None
    return len(data) if isinstance(data, list) else None


def _is_finite(value: Any) -> bool:
    """Whether no number in an answer is NaN or infinite; the scorer answers those as null."""
    if isinstance(value, dict):
        return all(_is_finite(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_finite(item) for item in value)
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    with contextlib.suppress(OSError):  # a model may have printed more than the limit of a file
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(ended)  # threads that the model started do not keep the process
