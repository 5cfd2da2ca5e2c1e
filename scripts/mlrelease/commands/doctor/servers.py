"""Checks of MLflow, as far as this machine can see it: variables, address, API, version, credentials, clock."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

from mlrelease.commands.doctor.checks import Check, Found, Patient, bad, ok, skipped, warn
from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.spec import expand

TRIED = ((2, 22), (3, 17))
"""The oldest and the newest MLflow server that this was tried with."""

SKEW_S, LARGE_SKEW_S = 30.0, 300.0
"""Apart by so much a hold or a soak ends early or late; by so much a lock that has expired here is held there."""

NOBODY = "mlrelease-doctor"


def checks(patient: Patient) -> Iterator[Check]:
    """The questions about MLflow, per environment."""
    for environment in patient.environments:
        for id_, ask in (
            ("variables", variables),
            ("mlflow", api),
            ("mlflow-version", version),
            ("credentials", credentials),
            ("clock", clock),
        ):
            yield Check(id_, lambda ask=ask, environment=environment: ask(patient, environment), environment.name)  # type: ignore[misc]


def variables(patient: Patient, environment: EnvironmentSpec) -> Found:
    """Every `${NAME}` without default is set. Names only: a value may be a secret."""
    texts = [environment.tracking_uri, environment.target.state_dir]
    texts += [value for service in environment.services.values() for _, value in service.env]
    asked = {name for text in texts for name in expand.names(text)}
    unset = {name for text in texts for name in expand.missing(text, patient.variables)}
    if unset:
        return bad(f"not set here: {', '.join(sorted(unset))}", f"export {min(unset)}=…, where mlrelease runs")
    return ok(f"set, or with a default: {', '.join(sorted(asked))}" if asked else "the files name none")


def api(patient: Patient, environment: EnvironmentSpec) -> Found:
    """MLflow answers a question of its API, which /health does not show: it answers whom the API refuses."""
    registry = patient.workspace.registry(environment)
    begun = time.monotonic()
    registry.versions(NOBODY)
    return ok(f"{registry.where} answers in {(time.monotonic() - begun) * 1000:.0f} ms")


def version(patient: Patient, environment: EnvironmentSpec) -> Found:
    """The server's version was tried."""
    status, text, _ = _get(patient, environment, "/version")
    found = re.match(r"(\d+)\.(\d+)\.\S+$", text.strip())
    if status != 200 or found is None:
        return skipped(f"the server does not say its version ({status})")
    number = (int(found[1]), int(found[2]))
    oldest, newest = (".".join(map(str, n)) for n in TRIED)
    if not TRIED[0] <= number <= TRIED[1]:
        return warn(f"MLflow {text.strip()} was not tried", f"{oldest} to {newest} were")
    return ok(f"MLflow {text.strip()}")


def credentials(patient: Patient, environment: EnvironmentSpec) -> Found:
    """What is set to log in with; by name."""
    from mlrelease.registries.connect import CREDENTIALS  # noqa: PLC0415 - with the adapter

    there = [name for name in CREDENTIALS if patient.variables.get(name)]
    names = set(there)
    if {"MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME"} <= names:
        return warn("MLFLOW_TRACKING_TOKEN and MLFLOW_TRACKING_USERNAME are both set: the token is used", "unset one")
    if "MLFLOW_TRACKING_PASSWORD" in names and "MLFLOW_TRACKING_USERNAME" not in names:
        return bad("MLFLOW_TRACKING_PASSWORD is set without MLFLOW_TRACKING_USERNAME", "export MLFLOW_TRACKING_USERNAME=…")
    if "MLFLOW_TRACKING_USERNAME" in names and "MLFLOW_TRACKING_PASSWORD" not in names:
        return bad("MLFLOW_TRACKING_USERNAME is set without MLFLOW_TRACKING_PASSWORD", "export MLFLOW_TRACKING_PASSWORD=…")
    if names & {"MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD"} and not _is_private(_address(patient, environment)):
        return warn(f"set: {', '.join(there)}; sent in the clear over http", "an https address for MLflow")
    return ok(f"set: {', '.join(there)}" if there else "none are set: MLflow is asked without")


def clock(patient: Patient, environment: EnvironmentSpec) -> Found:
    """The clock here against the server's, by the `Date` of an answer (whole seconds)."""
    before = patient.workspace.now()
    _, _, date = _get(patient, environment, "/version")
    after = patient.workspace.now()
    try:
        there = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return skipped("the server does not say the time")
    return compared(before, there, after, "MLflow")


def compared(before: float, there: float, after: float, whom: str) -> Found:
    """The clock here, read before and after, against the other's whole seconds."""
    apart = 0.0 if before - 1 <= there <= after + 1 else there - (before + after) / 2
    if abs(apart) <= SKEW_S:
        return ok(f"{apart:+.0f} s apart from {whom}")
    said = f"{abs(apart):.0f} s {'behind' if apart > 0 else 'ahead of'} {whom}"
    fix = "set both clocks by one source: NTP"
    return bad(said, fix) if abs(apart) > LARGE_SKEW_S else warn(said, fix)


def _address(patient: Patient, environment: EnvironmentSpec) -> SplitResult:
    """The parts of the server's address. Raises `Error` for one that is none, without repeating it: it may hold a password."""
    try:
        return urlsplit(expand.expand(environment.tracking_uri, patient.variables))
    except ValueError as error:
        raise Error("the address of MLflow cannot be read", hint="see tracking_uri and what its variables hold") from error


def _is_private(address: SplitResult) -> bool:
    """Whether a password is safe on the way there: TLS, or this very machine, or no server at all."""
    return address.scheme != "http" or address.hostname in ("localhost", "127.0.0.1", "::1")


def _get(patient: Patient, environment: EnvironmentSpec, path: str) -> tuple[int, str, str]:
    """Status, text and `Date` of one plain request, without credentials. Raises `Error` when nothing answers."""
    import requests  # noqa: PLC0415 - 0.1 s that `--help` does not pay

    parts = _address(patient, environment)
    if parts.scheme not in ("http", "https"):
        return 0, "", ""
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")
    certificate = patient.variables.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
    if patient.variables.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        certificate = False
    try:
        with requests.Session() as session:
            # neither ~/.netrc nor a proxy for what is on this machine
            session.trust_env = parts.hostname not in ("localhost", "127.0.0.1", "::1")
            timeouts = (DEADLINES_S["mlflow.connect"], DEADLINES_S["mlflow.read"])
            answer = session.get(bare + path, timeout=timeouts, verify=certificate, allow_redirects=False, stream=True)
            with answer:
                text = next(answer.iter_content(200), b"").decode(errors="replace")
                return answer.status_code, text, answer.headers.get("Date", "")
    except (requests.RequestException, ValueError) as error:
        raise Error(f"MLflow does not answer: {type(error).__name__}", hint="see mlflow") from error
