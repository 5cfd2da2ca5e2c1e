"""`ModelRegistry` over MLflow's REST API, without the mlflow package (FACTS §9.6: 6 ms a read, no second of importing)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from requests.auth import AuthBase, HTTPBasicAuth

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.http.calls import Http
from mlrelease.http.errors import HttpError
from mlrelease.http.session import BearerAuth
from mlrelease.model.run import RunFacts
from mlrelease.model.version import VersionFacts
from mlrelease.registries import artifacts, metrics, proxied
from mlrelease.registries.batches import Batch, Key, batches, can_be_searched, can_exist
from mlrelease.registries.client_process import ClientProcess
from mlrelease.registries.concurrently import concurrently
from mlrelease.registries.interface import FileFacts
from mlrelease.registries.mlflow_answers import LOGGED_MODEL, NOT_ITS_SHAPE, facts_of, is_prompt, original_of, unexpected
from mlrelease.registries.mlflow_dialect import MlflowDialect
from mlrelease.registries.runs import run_of

_API = "/api/2.0/mlflow"
_PAGE = 1000
_MOST_PAGES = 200  # 200,000 versions are MLflow's own cap
_MOST_COPIES = 8  # a copy of a copy of …
# More would only queue at the server (four workers by default), and a question's deadline runs while it waits: with
# MLflow's basic-auth app, which hashes the password for each, 0.3 s.
_AT_ONCE = 4
_FEW = 12  # so many versions are asked for one by one, beside each other: a search would not be faster
_CONFIRMED = 100  # versions that a search did not find, and that are asked for by themselves
_READ_FOR_ONE = 20  # without `IN`, whole pages are read, so many rows for each version asked for: as fast as one by one
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # a missing alias is the latter


class MlflowRest:
    """One MLflow tracking server. Asks nothing until a method is called; thread-safe.

    `store` holds the credentials of artifact stores that the server does not speak for, by the names of their libraries.
    """

    def __init__(self, uri: str, *, credentials: Mapping[str, str], store: Mapping[str, str] | None = None) -> None:
        self._http = Http(
            uri,
            name="MLflow",
            dialect=MlflowDialect(),
            connect_s=DEADLINES_S["mlflow.connect"],
            read_s=DEADLINES_S["mlflow.read"],
            total_s=DEADLINES_S["mlflow.total"],
            auth=_auth(credentials),
            verify=_verify(credentials),
        )
        self._client = ClientProcess(store or {})
        self.where = self._http.where

    def describe(self, versions: Iterable[Key]) -> dict[Key, VersionFacts | None]:
        """Facts by (name, version); None where MLflow says that there is no such version.

        A few are asked for one by one, many by searches: those know no aliases. A version that no search found is asked
        for by itself, up to a hundred of them.
        """
        found: dict[Key, VersionFacts | None] = dict.fromkeys(sorted(set(versions)))
        asked = [key for key in found if can_exist(key)]
        if len(asked) > _FEW:
            searched, complete = self._searched([key for key in asked if can_be_searched(key[0])])
            found |= searched
            asked = [key for key in asked if key not in searched]
            if complete:
                unsearched = [key for key in asked if not can_be_searched(key[0])]
                missing = [key for key in asked if can_be_searched(key[0])]
                asked = unsearched + missing[:_CONFIRMED]
        return found | dict(zip(asked, concurrently(self._describe, asked, workers=_AT_ONCE), strict=True))

    def versions(self, name: str) -> tuple[VersionFacts, ...]:
        """All versions of a registered model, newest first. `aliases` stay empty: a search has none."""
        if "'" in name and '"' in name:
            return ()  # such a name cannot be written in a filter, nor be registered by the client
        quote_mark = '"' if "'" in name else "'"
        params = {"filter": f"name={quote_mark}{name}{quote_mark}", "order_by": "version_number DESC"}
        found = map(facts_of, self._pages("model-versions/search", "model_versions", params))
        # Sorted here too: a server may compare names without case, and versions as text.
        return tuple(sorted((f for f in found if f.name == name), key=lambda f: int(f.version), reverse=True))

    def models(self) -> tuple[str, ...]:
        """The names of all registered models, sorted, without the prompts that MLflow 3 keeps among them."""
        found = self._pages("registered-models/search", "registered_models", {})
        try:
            return tuple(sorted({str(item["name"]) for item in found if not is_prompt(item)}))
        except NOT_ITS_SHAPE as e:
            raise unexpected(self._http.server) from e

    def alias(self, name: str, alias: str) -> VersionFacts | None:
        """The version that the alias points at. Asked one by one: a search of versions never has aliases (mlflow#16734)."""
        found = self._found("registered-models/alias", {"name": name, "alias": alias})
        return facts_of(found.get("model_version")) if found is not None else None

    def metrics(self, facts: VersionFacts) -> tuple[Mapping[str, float], str]:
        """Those of the version's logged model, else its run's (`metrics` says which of several values counts)."""
        try:
            model_id = self._model_id(facts)
            model = self._logged_model(model_id) if model_id else None
            if model is not None and (logged := model.get("data", {}).get("metrics")):
                return metrics.of_model(logged, self._history), "model"
            if facts.run_id and (run := self._found("runs/get", {"run_id": facts.run_id})) is not None:
                logged = run["run"].get("data", {}).get("metrics", [])
                return metrics.of_run(logged), "run" if logged else ""
        except NOT_ITS_SHAPE as e:
            raise unexpected(self._http.server) from e
        return {}, ""

    def run(self, run_id: str) -> RunFacts | None:
        """The run of that id; None where MLflow says that there is none."""
        found = self._found("runs/get", {"run_id": run_id})
        try:
            return run_of(found["run"]) if found is not None else None
        except NOT_ITS_SHAPE as e:
            raise unexpected(self._http.server) from e

    def files(self, facts: VersionFacts) -> tuple[FileFacts, ...]:
        """Every file of the version, sorted by path. Raises `Error` when there is none: READY says nothing of the files."""
        return self._files(facts, self._place(facts))

    def download(self, facts: VersionFacts, into: Path) -> None:
        """Writes every file of the version below `into`, sizes checked against the listing. Loads nothing."""
        until = time.monotonic() + DEADLINES_S["mlflow.download"]
        uri = self._place(facts)
        match artifacts.scheme_of(uri):
            case "mlflow-artifacts":
                proxied.save(self._http, uri, self._files(facts, uri), into, until=until)
            case "file":
                artifacts.copy_local(artifacts.local_root(uri), self._files(facts, uri), into)
            case _:
                self._client.download(uri, into)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Points the alias at the version. Setting it twice is setting it once, so it is retried."""
        body = {"name": name, "alias": alias, "version": version}
        self._http.post(f"{_API}/registered-models/alias", body, idempotent=True)

    def artifact_uri(self, facts: VersionFacts) -> str:
        """Where the files lie, "" if that is gone. `models:/m-…` and copies are resolved by the server, runs by their run."""
        try:
            if facts.source.startswith("models:"):
                params = {"name": facts.name, "version": facts.version}
                found = self._found("model-versions/get-download-uri", params)
                uri = str(found.get("artifact_uri", "")) if found else ""
                if uri.startswith(LOGGED_MODEL):
                    model = self._logged_model(uri.removeprefix("models:/"))
                    return str(model["info"]["artifact_uri"]) if model is not None else ""
                return uri
            if facts.source.startswith("runs:/"):
                run_id, _, path = facts.source.removeprefix("runs:/").partition("/")
                run = self._found("runs/get", {"run_id": run_id})
                return f"{run['run']['info']['artifact_uri']}/{path}".rstrip("/") if run is not None else ""
        except (KeyError, TypeError) as e:
            raise unexpected(self._http.server) from e
        return facts.source

    def _describe(self, key: Key) -> VersionFacts | None:
        found = self._found("model-versions/get", {"name": key[0], "version": key[1]})
        facts = facts_of(found.get("model_version")) if found is not None else None
        # "08" is answered with version 8, and MySQL ignores case in names
        return facts if facts and (facts.name, facts.version) == key else None

    def _searched(self, keys: list[Key]) -> tuple[dict[Key, VersionFacts | None], bool]:
        """What searches find of the versions, and whether what they do not find does not exist."""

        def one(batch: Batch) -> list[VersionFacts]:
            params = {"filter": batch.filter, "order_by": "name ASC"}
            return [facts_of(item) for item in self._pages("model-versions/search", "model_versions", params)]

        wanted, complete = set(keys), True
        try:
            rows: Iterable[VersionFacts] = [f for part in concurrently(one, batches(keys), workers=_AT_ONCE) for f in part]
        except HttpError as e:
            if e.status not in (400, 414):  # MLflow 2 knows no `IN` for names, and its gunicorn no line of this length
                raise
            rows, complete = self._read_through(keys)
        return {(f.name, f.version): f for f in rows if (f.name, f.version) in wanted}, complete

    def _read_through(self, keys: list[Key]) -> tuple[list[VersionFacts], bool]:
        """Whole pages within the bounds of the version numbers, up to a share of what was asked; whether that was all."""
        numbers = [int(version) for _, version in keys]
        params = {"filter": f"version_number >= {min(numbers)} AND version_number <= {max(numbers)}", "order_by": "name ASC"}
        most = _READ_FOR_ONE * len(keys)
        rows: list[VersionFacts] = []
        for item in self._pages("model-versions/search", "model_versions", params):
            if len(rows) >= most:
                return rows, False
            rows.append(facts_of(item))
        return rows, True

    def _pages(self, path: str, field: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The items of a search, page by page."""
        asked = {**params, "max_results": str(_PAGE)}
        for _ in range(_MOST_PAGES):
            page = self._http.get(f"{_API}/{path}", asked)
            items = page.get(field, [])
            if not isinstance(items, list):
                raise unexpected(self._http.server)
            yield from items
            token = page.get("next_page_token")
            if not token:
                return
            asked["page_token"] = str(token)

    def _model_id(self, facts: VersionFacts) -> str:
        """The logged model behind the version, "" if there is none; that of a copy is its original's."""
        found: VersionFacts | None = facts
        for _ in range(_MOST_COPIES):
            if found is None or found.model_id or not (original := original_of(found.source)):
                break
            found = self._describe(original)
        return found.model_id if found else ""

    def _logged_model(self, model_id: str) -> dict[str, Any] | None:
        """The logged model, None when it is gone."""
        found = self._found(f"logged-models/{quote(model_id, safe='')}", {})
        model = found.get("model") if found is not None else None
        if found is not None and not isinstance(model, dict):
            raise unexpected(self._http.server)
        return model

    def _history(self, run_id: str, key: str) -> list[dict[str, Any]]:
        """Every value that was logged under the key; none when the run is gone."""
        try:
            return list(self._pages("metrics/get-history", "metrics", {"run_id": run_id, "metric_key": key}))
        except HttpError as e:
            if e.code in _MISSING:
                return []
            raise

    def _found(self, path: str, params: Mapping[str, str]) -> dict[str, Any] | None:
        """The answer, None where MLflow says that there is no such thing."""
        try:
            return self._http.get(f"{_API}/{path}", params)
        except HttpError as e:
            if e.code in _MISSING:
                return None
            raise

    def _files(self, facts: VersionFacts, uri: str) -> tuple[FileFacts, ...]:
        match artifacts.scheme_of(uri):
            case "mlflow-artifacts":
                found: Iterable[FileFacts] = proxied.listed(self._http, uri)
            case "file":
                found = artifacts.local_files(artifacts.local_root(uri))
            case _:
                found = self._client.files(uri)
        return artifacts.checked(facts, uri, found)

    def _place(self, facts: VersionFacts) -> str:
        """The address of the files. Raises `Error` for one that cannot be read from here."""
        uri = facts.artifact_uri or self.artifact_uri(facts)
        far = not (self._http.is_loopback and artifacts.local_root(uri).is_absolute())
        if uri and artifacts.scheme_of(uri) == "file" and far:
            raise Error(
                f"{facts.name} version {facts.version}: its files lie on the disk of the MLflow server, out of reach from here",
                hint="start the server with --serve-artifacts and --artifacts-destination, and register the version again",
            )
        return artifacts.readable(facts, uri)


def _auth(credentials: Mapping[str, str]) -> AuthBase | None:
    if token := credentials.get("MLFLOW_TRACKING_TOKEN"):
        return BearerAuth(token)
    if username := credentials.get("MLFLOW_TRACKING_USERNAME"):
        return HTTPBasicAuth(username.encode(), credentials.get("MLFLOW_TRACKING_PASSWORD", "").encode())
    return None


def _verify(credentials: Mapping[str, str]) -> bool | str:
    insecure = credentials.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    certificate = credentials.get("MLFLOW_TRACKING_SERVER_CERT_PATH", "")
    if insecure and certificate:
        raise Error("MLFLOW_TRACKING_INSECURE_TLS and MLFLOW_TRACKING_SERVER_CERT_PATH exclude each other", hint="unset one")
    if certificate and not Path(certificate).exists():
        raise Error("MLFLOW_TRACKING_SERVER_CERT_PATH names a file that does not exist", where=certificate)
    return certificate or not insecure
