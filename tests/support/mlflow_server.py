"""A real MLflow server on SQLite for tests, and what is registered there: good versions, and tampered ones."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import pytest

START_S = 90.0  # 4.5-6.8 s alone on two cores; tests run beside each other
STOP_S = 10.0


@dataclass(frozen=True)
class Registered:
    """One registered version and where its artifacts lie below the server's artifact proxy."""

    uri: str
    name: str
    version: str
    model_id: str
    artifacts: str

    def put(self, path: str, data: bytes) -> None:
        """Overwrites or adds one artifact over the server's own API, as anybody can, without a trace in the registry."""
        url = f"{self.uri}/api/2.0/mlflow-artifacts/artifacts/{quote(f'{self.artifacts}/{path}')}"
        with urllib.request.urlopen(urllib.request.Request(url, data=data, method="PUT"), timeout=10) as response:
            response.read()


@contextmanager
def running_mlflow(
    folder: Path,
    *,
    python: Path | str = sys.executable,
    options: tuple[str, ...] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[str]:
    """The address of an MLflow server whose database and artifacts lie in `folder`; ended, with its children, at the end.

    `python` has an MLflow of another version; `options` are the server's own, and the last of two counts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for attempt in range(3):
        port = free_port()
        process = _start(folder, port, str(python), options, environment)
        try:
            if _answers(process, port):
                yield f"http://127.0.0.1:{port}"
                return
            if process.poll() is None or attempt == 2:
                raise RuntimeError(f"mlflow server did not answer: {(folder / 'server.log').read_text()[-2000:]}")
        finally:
            end(process, signal.SIGKILL)  # an orderly end takes a second and a half, and nobody reads what it leaves


def register(
    uri: str,
    name: str,
    model: object,
    *,
    input_example: object = None,
    requirements: tuple[str, ...] = ("scikit-learn",),
    **log_model: object,
) -> Registered:
    """Logs a scikit-learn model (or a `PythonModel`, or the file of one), registers it: 1.3 s the first time, 0.1 s later."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    mlflow.set_tracking_uri(uri)
    arguments = {
        "name": "model",
        "registered_model_name": name,
        "input_example": input_example,
        # given, so that MLflow does not spend two seconds on finding out
        "pip_requirements": list(requirements),
    } | log_model
    if isinstance(model, Path | mlflow.pyfunc.PythonModel):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "dont_write_bytecode", True)  # MLflow would register the bytecode of a model that is code
            info = mlflow.pyfunc.log_model(python_model=model, **arguments)
    else:
        # importing skops costs a model server more than a second
        info = mlflow.sklearn.log_model(model, **{"serialization_format": "cloudpickle", **arguments})
    place = mlflow.MlflowClient(uri).get_logged_model(info.model_id).artifact_location
    return Registered(uri, name, str(info.registered_model_version), info.model_id, place.removeprefix("mlflow-artifacts:/"))


def delete_version(version: Registered) -> None:
    """Deletes the version from the registry."""
    import mlflow

    mlflow.MlflowClient(version.uri).delete_model_version(version.name, version.version)


def register_two(
    name: str, environment: Mapping[str, str], *, python: Path | str = sys.executable, artifact_root: str = ""
) -> None:
    """Runs `registering`: versions 1 and 2 at the address, and with the credentials, of `environment`."""
    program = str(Path(__file__).with_name("registering.py"))
    command = [str(python), program, name, artifact_root]
    given = {**_environment(str(python)), "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", **environment}
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=START_S, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def _start(
    folder: Path, port: int, python: str, options: tuple[str, ...], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    command = [
        *(python, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
        *options,
    ]
    if python == sys.executable:  # MLflow 2 knows no such option
        command += ["--allowed-hosts", f"127.0.0.1:{port},localhost:{port},127.0.0.1,localhost"]
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**_environment(python), **environment},
            cwd=folder,
            start_new_session=True,
        )


def _environment(python: str) -> Mapping[str, str]:
    """The test's environment without anybody's MLflow settings, and with the server's own programs on PATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return kept | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven more processes otherwise
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": os.pathsep.join([str(Path(python).parent), kept.get("PATH", os.defpath)]),
    }


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    # An API path: /health is answered although no client may be let in.
    url = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id=0"
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except urllib.error.HTTPError as e:
            if e.code == 401:  # up, and asks for credentials
                return True
            time.sleep(0.1)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False


def end(process: subprocess.Popen[bytes], *signals: signal.Signals) -> None:
    """Ends a process that leads a session, with its children."""
    for number in signals or (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
