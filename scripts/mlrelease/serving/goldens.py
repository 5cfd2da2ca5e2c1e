"""Golden predictions of many versions: one isolated process imports the libraries, and a fork of it tries each model.

A fleet must not wait for a cold start per model (seconds, most of it imports). The forking process runs no code of any
model, and each model has a process of its own with limits, deadline and answer of its own: one that crashes, hangs or
changes the libraries around it harms no other. Linux. The child is this module run as a program, with the models as JSON
on stdin and an empty folder for the answers.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from mlrelease.errors import Error, UnavailableError
from mlrelease.serving.collecting import uncollected
from mlrelease.serving.golden import LARGEST_ANSWER, Golden, cannot, end_of, environment, last_line, printable

AT_ONCE = min(4, os.cpu_count() or 1)
"""Models tried at the same time; the server that runs beside keeps its turn on the processors."""

_STARTUP_S = 60.0
"""Importing the libraries on a machine that is busy."""

_POLL_S = 0.005
_LIBRARIES = {
    "mlflow.sklearn": ("sklearn.linear_model", "sklearn.ensemble", "sklearn.pipeline", "skops.io"),
    "mlflow.statsmodels": ("statsmodels.api",),
    "mlflow.xgboost": ("xgboost",),
    "mlflow.lightgbm": ("lightgbm",),
}
"""What a flavour's models import, by the loader that their MLmodel names: imported once, before the forks."""


@dataclass(frozen=True, slots=True)
class Request:
    """A model folder, verified already, and the example that it is to answer."""

    path: Path
    payload: Mapping[str, Any]


def compute_many(
    requests: Sequence[Request], *, deadline_s: float, memory_bytes: int, python: str
) -> tuple[Golden | Error, ...]:
    """The predictions of each model, or why there are none, in the order of the requests; `deadline_s` is for each.

    The processes see what those of `golden.compute` see. Raises `UnavailableError` when they cannot be started.
    """
    if not requests:
        return ()
    with tempfile.TemporaryDirectory(prefix="mlrelease-goldens-") as folder:
        home, answers, asked, said = (Path(folder) / name for name in ("home", "answers", "request", "stderr"))
        home.mkdir()
        answers.mkdir()
        body = [{"dir": str(request.path.resolve()), "payload": dict(request.payload)} for request in requests]
        asked.write_text(json.dumps(body))
        command = [python, "-P", "-m", "mlrelease.serving.goldens", str(answers)]
        command += ["--memory", str(memory_bytes), "--deadline", str(deadline_s)]
        with asked.open("rb") as stdin, said.open("wb") as stderr:
            try:
                child = subprocess.Popen(
                    command, stdin=stdin, stdout=stderr, stderr=stderr, cwd=home, env=environment(home), start_new_session=True
                )
            except OSError as e:
                raise UnavailableError(f"cannot start {python}: {e.strerror}", hint="name an interpreter that exists") from e
            end_of(child, _STARTUP_S + deadline_s * len(requests))
        broken = f"the isolated process ended early: {last_line(said)[:300] or 'it said nothing'}"
        return tuple(_read(answers / str(n), request, broken) for n, request in enumerate(requests))


def _read(answer: Path, request: Request, broken: str) -> Golden | Error:
    where = str(request.path)
    try:
        if answer.stat().st_size > LARGEST_ANSWER:
            return Error(f"the golden predictions are larger than {LARGEST_ANSWER >> 20} MiB", where=where)
        data = json.loads(answer.read_bytes())
        if "error" in data:
            return Error(printable(str(data["error"]))[:600], where=where)
        return Golden(request.payload, data["predictions"], data["isolation"], data["mlflow"])
    except FileNotFoundError:
        return Error(broken, where=where)
    except (ValueError, KeyError, TypeError, RecursionError):
        return Error("the isolated process ended without an answer", where=where)


# -- the child ---------------------------------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Tries every model of stdin, a few at a time; a file in the folder for each."""
    from mlrelease.serving.isolation import isolate  # noqa: PLC0415 - Linux only, the parent needs none of it

    parser = argparse.ArgumentParser(prog="python -m mlrelease.serving.goldens")
    parser.add_argument("answers", type=Path)
    parser.add_argument("--memory", type=int, required=True, help="bytes of address space, for each model")
    parser.add_argument("--deadline", type=float, required=True, help="seconds, for each model")
    options = parser.parse_args(arguments)
    requests = json.load(sys.stdin)
    isolation = isolate(memory_bytes=options.memory, cpu_s=max(1, round(options.deadline)))
    with uncollected():
        _import_libraries([Path(request["dir"]) for request in requests])
    waiting = list(enumerate(requests))
    running: dict[int, tuple[int, float]] = {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            number, request = waiting.pop(0)
            pid = os.fork()
            if pid == 0:
                _try(request, options.answers / str(number), isolation)
            running[pid] = (number, time.monotonic())
        for pid, reason in _ended(running, options.deadline):
            answer = options.answers / str(running.pop(pid)[0])
            if reason:
                _write(answer, {"error": reason})
        time.sleep(_POLL_S)
    return 0


def _import_libraries(folders: Sequence[Path]) -> None:
    import mlrelease.serving.scoring  # noqa: F401, PLC0415 - under the limits, not before

    loaders = set()
    for folder in folders:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            # A hint and no more, so a regular expression will do: what is not found is imported by the fork.
            found = re.search(r"^\s*loader_module: (mlflow\.\w+)\s*$", (folder / "MLmodel").read_text(), re.MULTILINE)
            if found:
                loaders.add(found[1])
    for loader in sorted(loaders):
        for name in (loader, *_LIBRARIES.get(loader, ())):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def _ended(running: Mapping[int, tuple[int, float]], deadline_s: float) -> Iterator[tuple[int, str]]:
    """The models' processes that have ended, each with what is wrong; those past the deadline are ended here."""
    for pid, (_, started) in list(running.items()):
        done, status = os.waitpid(pid, os.WNOHANG)
        if not done and time.monotonic() - started > deadline_s:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            yield pid, f"the model did not load and predict within {deadline_s:g} s"
        elif done:
            with contextlib.suppress(ProcessLookupError):  # what the model itself started ends with it
                os.killpg(pid, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(status)
            if code == -signal.SIGXCPU:
                yield pid, f"the model used more than {deadline_s:g} s of processor time"
            else:
                yield pid, "" if code == 0 else f"the model was ended by signal {-code}" if code < 0 else f"exit code {code}"


def _try(request: Mapping[str, Any], answer: Path, isolation: Mapping[str, Any]) -> NoReturn:
    """The fork: loads, predicts, writes, and never returns into the loop of its parent."""
    from mlrelease.serving.isolation import end_with_parent  # noqa: PLC0415 - Linux only

    end_with_parent()  # it has a process group of its own: whoever ends that of its parent does not reach it
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    step = "be loaded"
    try:
        from mlrelease.serving.scoring import load, mlflow_version  # noqa: PLC0415

        scorer = load(Path(request["dir"]))
        step = "predict its own example"
        predictions = scorer.predict(request["payload"])
        content: dict[str, Any] = {"predictions": predictions, "isolation": dict(isolation), "mlflow": mlflow_version()}
    except BaseException as e:  # noqa: BLE001 - the model's own code runs; whatever it raises is the reason
        content = {"error": cannot(step, e)}
    try:
        _write(answer, content)
    finally:
        os._exit(0)  # threads that the model started do not keep the process


def _write(answer: Path, content: Mapping[str, Any]) -> None:
    temporary = answer.with_suffix(".part")
    temporary.write_text(json.dumps(content))
    temporary.replace(answer)


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended)
