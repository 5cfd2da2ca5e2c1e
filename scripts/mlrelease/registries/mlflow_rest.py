"""`ModelRegistry` over MLflow's REST API, without the mlflow package (FACTS §9.6: 6 ms a read, no second of importing)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from requests.auth import AuthBase, HTTPBasicAuth

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.registries import artifacts
from mlrelease.registries.http import CONNECTIONS, BearerAuth, Http
from mlrelease.registries.http_errors import HttpError
from mlrelease.registries.interface import FileFacts, VersionFacts

_API = "/api/2.0/mlflow"
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_PAGE = 1000
_MOST_PAGES = 200  # 200,000 versions are MLflow's own cap
_LONGEST_VERSION = 9  # MLflow's column is a 32-bit integer; 20 digits make the server answer 500
_LOGGED_MODEL = "models:/m-"

_A = TypeVar("_A")
_R = TypeVar("_R")


class MlflowRest:
    """One MLflow tracking server. Asks nothing until a method is called; thread-safe."""

    def __init__(self, uri: str, *, credentials: Mapping[str, str]) -> None:
        self._http = Http(
            uri,
            name="MLflow",
            connect_s=DEADLINES_S["mlflow.connect"],
            read_s=DEADLINES_S["mlflow.read"],
            total_s=DEADLINES_S["mlflow.total"],
            auth=_auth(credentials),
            verify=_verify(credentials),
        )
        self.where = self._http.where

    def describe(self, versions: Iterable[tuple[str, str]]) -> dict[tuple[str, str], VersionFacts | None]:
        """Facts by (name, version), asked concurrently; None where MLflow says that there is no such version."""
        asked = sorted(set(versions))
        return dict(zip(asked, _concurrently(self._describe, asked), strict=True))

    def versions(self, name: str) -> tuple[VersionFacts, ...]:
        """All versions of a registered model, newest first. `aliases` and `artifact_uri` stay empty: a search has neither."""
        if "'" in name and '"' in name:
            return ()  # such a name cannot be written in a filter, nor be registered by the client
        quote_mark = '"' if "'" in name else "'"
        params = {
            "filter": f"name={quote_mark}{name}{quote_mark}",
            "max_results": str(_PAGE),
            "order_by": "version_number DESC",
        }
        found: list[VersionFacts] = []
        for _ in range(_MOST_PAGES):
            page = self._http.get(f"{_API}/model-versions/search", params)
            found += [_facts(item) for item in page.get("model_versions", [])]
            token = page.get("next_page_token")
            if not token:
                break
            params["page_token"] = str(token)
        # Sorted here too: a server may compare names without case, and versions as text.
        return tuple(sorted((f for f in found if f.name == name), key=lambda f: int(f.version), reverse=True))

    def files(self, facts: VersionFacts) -> tuple[FileFacts, ...]:
        """Every file of the version, sorted by path. Raises `Error` when there is none: READY says nothing of the files."""
        scheme, place = self._place(facts)
        found = artifacts.local_files(Path(place)) if scheme == "file" else self._listed(place, facts)
        files = tuple(sorted(found, key=lambda file: file.path))
        if not files:
            raise Error(
                f"{facts.name} version {facts.version} has no files where the registry says they are",
                hint="they were deleted or never logged: register the version again",
                where=facts.artifact_uri or facts.source,
            )
        return files

    def download(self, facts: VersionFacts, into: Path) -> None:
        """Writes every file of the version below `into`, sizes checked against the listing. Loads nothing."""
        until = time.monotonic() + DEADLINES_S["mlflow.download"]
        files = self.files(facts)
        scheme, place = self._place(facts)
        if scheme == "file":
            artifacts.copy_local(Path(place), files, into)
            return
        root = into.resolve()

        def save(file: FileFacts) -> None:
            target = root / file.path
            if not target.resolve().is_relative_to(root):
                raise Error("a listed file would be written outside its folder", where=facts.artifact_uri)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
            except OSError as e:
                raise Error(f"cannot make a folder for a download: {(e.strerror or '').lower()}", where=str(target)) from e
            self._http.save(f"{_PROXY}/{quote(f'{place}/{file.path}')}", target, size=file.size, until=until)

        _concurrently(save, files)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Points the alias at the version. Setting it twice is setting it once, so it is retried."""
        body = {"name": name, "alias": alias, "version": version}
        self._http.post(f"{_API}/registered-models/alias", body, idempotent=True)

    def _describe(self, key: tuple[str, str]) -> VersionFacts | None:
        name, version = key
        if not name or not (version.isascii() and version.isdecimal() and len(version) <= _LONGEST_VERSION):
            return None
        try:
            found = self._http.get(f"{_API}/model-versions/get", {"name": name, "version": version})
        except HttpError as e:
            if e.code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        facts = _facts(found.get("model_version"))
        if (facts.name, facts.version) != key:  # "08" is answered with version 8, and MySQL ignores case in names
            return None
        return replace(facts, artifact_uri=self._artifact_uri(facts))

    def _artifact_uri(self, facts: VersionFacts) -> str:
        """Where the files lie. `models:/m-…` and copies (`models:/other/3`) are resolved by the server, runs by their run."""
        try:
            if facts.source.startswith("models:"):
                params = {"name": facts.name, "version": facts.version}
                uri = str(self._http.get(f"{_API}/model-versions/get-download-uri", params).get("artifact_uri", ""))
                if uri.startswith(_LOGGED_MODEL):
                    model = self._http.get(f"{_API}/logged-models/{quote(uri.removeprefix('models:/'), safe='')}")
                    uri = str(model["model"]["info"]["artifact_uri"])
                return uri
            if facts.source.startswith("runs:/"):
                run_id, _, path = facts.source.removeprefix("runs:/").partition("/")
                run = self._http.get(f"{_API}/runs/get", {"run_id": run_id})
                return f"{run['run']['info']['artifact_uri']}/{path}".rstrip("/")
        except HttpError as e:
            if e.code == "RESOURCE_DOES_NOT_EXIST":
                return ""  # the version outlived its model or run: it exists, its files do not
            raise
        except (KeyError, TypeError) as e:
            raise _unexpected(self._http.server) from e
        return facts.source

    def _place(self, facts: VersionFacts) -> tuple[str, str]:
        """(`mlflow-artifacts`, path below the proxy) or (`file`, folder). Raises `Error` for what cannot be read here."""
        uri = facts.artifact_uri or self._artifact_uri(facts)
        label = f"{facts.name} version {facts.version}"
        if not uri:
            raise Error(f"{label}: its logged model or run was deleted, so its files are gone", hint="register it again")
        scheme = uri.partition(":")[0] if ":" in uri else "file"
        if scheme == "mlflow-artifacts":
            return scheme, artifacts.proxied_path(uri, self._http.authority)
        if scheme == "file" and self._http.is_loopback and artifacts.local_root(uri).is_absolute():
            return scheme, str(artifacts.local_root(uri))
        if scheme == "file":
            raise Error(
                f"{label}: its files lie on the disk of the MLflow server, out of reach from here",
                hint="start the server with --serve-artifacts and --artifacts-destination, and register the version again",
            )
        raise Error(
            f"{label}: its files lie at {scheme}:, and the client adapter for that is not built yet",
            hint="start the server with --serve-artifacts, so that it hands the files on",
        )

    def _listed(self, place: str, facts: VersionFacts) -> list[FileFacts]:
        """The proxy's listing, folder by folder."""
        found: list[FileFacts] = []
        todo = [""]
        while todo:
            folder = todo.pop()
            page = self._http.get(_PROXY, {"path": f"{place}/{folder}".rstrip("/")})
            for item in page.get("files", []):
                name = artifacts.safe_name(item.get("path"), facts.artifact_uri)
                path = f"{folder}/{name}".lstrip("/")
                if item.get("is_dir"):
                    todo.append(path)
                else:
                    found.append(FileFacts(path, int(item.get("file_size", 0))))  # 0 is left out of the JSON
            if len(found) > artifacts.MOST_FILES or any(p.count("/") >= artifacts.LARGEST_DEPTH for p in todo):
                raise Error("the version's artifacts have no end: too many files or folders", where=facts.artifact_uri)
        if len({file.path for file in found}) != len(found):
            raise Error("the registry lists a file of the version twice", where=facts.artifact_uri)
        return found


def _facts(item: Any) -> VersionFacts:
    if not isinstance(item, dict) or not item.get("name") or not str(item.get("version", "")).isdecimal():
        raise _unexpected("MLflow")
    source = str(item.get("source", ""))
    return VersionFacts(
        name=str(item["name"]),
        version=str(item["version"]),
        status=str(item.get("status", "")),
        source=source,
        run_id=str(item.get("run_id", "")),
        # `model_id` itself is not in the answer (mlflow's proto has none yet): the source names it.
        model_id=source.removeprefix("models:/") if source.startswith(_LOGGED_MODEL) else "",
        aliases=tuple(sorted(str(alias) for alias in item.get("aliases", []))),
        tags={str(tag["key"]): str(tag.get("value", "")) for tag in item.get("tags", [])},
        created_at=float(item.get("creation_timestamp", 0)) / 1000,
    )


def _unexpected(server: str) -> Error:
    return Error(
        f"{server} answered with something else than the API describes", hint="is it an MLflow server of version 2 or 3?"
    )


def _concurrently(work: Callable[[_A], _R], items: Iterable[_A]) -> list[_R]:
    """Results in order. The first failure is raised and what has not begun is not begun: a dead server costs one deadline."""
    todo = list(items)
    if len(todo) < 2:
        return [work(item) for item in todo]
    with ThreadPoolExecutor(min(CONNECTIONS, len(todo))) as pool:
        futures = [pool.submit(work, item) for item in todo]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        failed = [f for f in done if f.exception()]
        if failed:
            pool.shutdown(wait=False, cancel_futures=True)
            failed[0].result()
        return [f.result() for f in futures]


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
