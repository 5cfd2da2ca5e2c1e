"""Golden predictions: what a version answers to its own input example, computed once in an isolated process.

The parent (`compute`) is the standard library alone. The child is this module run as a program:
`python -m mlrelease.serving.golden MODEL_DIR --memory BYTES --cpu SECONDS < request.json > answer.json`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlrelease.errors import Error, UnavailableError
from mlrelease.serving.collecting import uncollected

SCHEMA = 1
LARGEST_ANSWER = 16 << 20
"""Bytes. Golden predictions are kept in the ledger: 32 rows that need more are no example."""

_STDERR_KEPT = 4096
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Golden:
    """A request and its predictions, with how they came about. `mlflow` is the version that computed them."""

    payload: Mapping[str, Any]
    predictions: Any
    isolation: Mapping[str, Any] = field(default_factory=dict)
    mlflow: str = ""

    def to_json(self) -> dict[str, Any]:
        """The ledger's form."""
        return {
            "schema": SCHEMA,
            "payload": dict(self.payload),
            "predictions": self.predictions,
            "isolation": dict(self.isolation),
            "computed_with": {"mlflow": self.mlflow},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Golden:
        """What `to_json` wrote. Raises `Error` for another schema, `KeyError` or `TypeError` for damage."""
        if data.get("schema") != SCHEMA:
            raise Error(f"golden predictions of schema {data.get('schema')!r}", hint="written by a newer mlrelease: upgrade")
        return cls(data["payload"], data["predictions"], data["isolation"], data["computed_with"]["mlflow"])


def compute(model_dir: Path, payload: Mapping[str, Any], *, deadline_s: float, memory_bytes: int, python: str) -> Golden:
    """The predictions of the model in `model_dir` for `payload`, from a process of its own run by `python`.

    That process sees no variable of ours, an empty folder as home and working folder, no network where the kernel
    allows that, and ends with all its children at the deadline. Raises `UnavailableError` when it cannot be started,
    `Error` when the model does not load, does not predict, or takes too much time or memory.
    """
    with tempfile.TemporaryDirectory(prefix="mlrelease-golden-") as folder:
        home, request, answer, said = (Path(folder) / name for name in ("home", "request", "answer", "stderr"))
        home.mkdir()
        request.write_text(json.dumps(payload))
        command = [python, "-P", "-m", "mlrelease.serving.golden", str(model_dir.resolve())]
        command += ["--memory", str(memory_bytes), "--cpu", str(max(1, round(deadline_s)))]
        with request.open("rb") as stdin, answer.open("wb") as stdout, said.open("wb") as stderr:
            try:
                child = subprocess.Popen(
                    command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=home, env=environment(home), start_new_session=True
                )
            except OSError as e:
                raise UnavailableError(f"cannot start {python}: {e.strerror}", hint="name an interpreter that exists") from e
            code = end_of(child, deadline_s)
        if code != 0:
            raise Error(_reason(code, said, deadline_s), where=str(model_dir))
        return _read(answer, payload, model_dir)


def environment(home: Path) -> dict[str, str]:
    """An allow-list: no token, no tracking server, no cloud credential reaches the model's code."""
    allowed = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # BLAS reserves address space for each of its threads, which the memory limit counts
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    if _PACKAGE_ROOT.name not in ("site-packages", "dist-packages"):  # a checkout: another interpreter would not find it
        allowed["PYTHONPATH"] = str(_PACKAGE_ROOT)
    return allowed


def end_of(child: subprocess.Popen[bytes], deadline_s: float) -> int | None:
    """The exit code, None at the deadline. Leaves no process of the child's session group behind."""
    try:
        return child.wait(deadline_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):  # the usual case: the group ended with its leader
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _reason(code: int | None, said: Path, deadline_s: float) -> str:
    if code is None:
        return f"the model did not load and predict within {deadline_s:g} s"
    if code == -signal.SIGXCPU:
        return f"the model used more than {deadline_s:g} s of processor time"
    last = last_line(said)
    how = f"was ended by signal {-code}" if code < 0 else f"exit code {code}"
    return last if code == 1 and last else f"{how}: {last or 'it said nothing'}"


def last_line(said: Path) -> str:
    """The last line that is not blank of what a process wrote to stderr, at most 500 characters; "" when there is none."""
    with said.open("rb") as file:
        file.seek(max(0, said.stat().st_size - _STDERR_KEPT))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return printable(lines[-1])[:500] if lines else ""


def printable(text: str) -> str:
    """The text in one line without control characters: a model's own words are shown in terminals and pull requests."""
    return "".join(c if c.isprintable() else " " for c in text)


def cannot(step: str, error: BaseException) -> str:
    """What a model's own code raised, and what that was raised from, in one line."""
    cause = error.__cause__
    detail = f" ({type(cause).__name__}: {_first_line(cause)[:200]})" if cause else ""
    return f"the model cannot {step}: {type(error).__name__}: {_first_line(error)[:300]}{detail}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _read(answer: Path, payload: Mapping[str, Any], model_dir: Path) -> Golden:
    if answer.stat().st_size > LARGEST_ANSWER:
        raise Error(f"the golden predictions are larger than {LARGEST_ANSWER >> 20} MiB", where=str(model_dir))
    try:
        data = json.loads(answer.read_bytes())
        return Golden(payload, data["predictions"], data["isolation"], data["mlflow"])
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise Error("the isolated process ended without an answer", where=str(model_dir)) from e


def main(arguments: list[str]) -> int:
    """The child: 0 with the answer on stdout, or 1 with the reason as the last line on stderr."""
    from mlrelease.serving.isolation import isolate  # noqa: PLC0415 - Linux only, the parent needs none of it

    parser = argparse.ArgumentParser(prog="python -m mlrelease.serving.golden")
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--memory", type=int, default=4 << 30, help="bytes of address space")
    parser.add_argument("--cpu", type=int, default=120, help="seconds of processor time")
    options = parser.parse_args(arguments)
    # What the model prints must not get into the answer: its stdout is our stderr.
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "wb") as answer:
        os.dup2(2, 1)
        step = "be set up"
        try:
            isolation = isolate(memory_bytes=options.memory, cpu_s=options.cpu)
            payload = json.load(sys.stdin)
            step = "be loaded"
            with uncollected():
                from mlrelease.serving.scoring import load, mlflow_version  # noqa: PLC0415 - under the limits, not before

                scorer = load(options.model_dir)
            step = "predict its own example"
            predictions = scorer.predict(payload)
            answer.write(json.dumps({"predictions": predictions, "isolation": isolation, "mlflow": mlflow_version()}).encode())
        except BaseException as e:  # noqa: BLE001 - the model's own code runs; whatever it raises is the reason
            sys.stderr.write(f"\n{cannot(step, e)}\n")
            sys.stderr.flush()
            return 1
    return 0


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended)  # threads that the model started do not keep the process
