"""The program of `client_process`: asks a backend or an artifact store through the `mlflow` package. JSON lines in and out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mlrelease.errors import Error, UnavailableError
from mlrelease.registries import artifacts, metrics
from mlrelease.registries.batches import Key, batches, can_be_searched, can_exist
from mlrelease.registries.concurrently import concurrently
from mlrelease.registries.interface import FileFacts

_PACKAGES = {
    "boto3": "boto3",
    "botocore": "boto3",
    "google": "google-cloud-storage",
    "azure": "azure-storage-blob azure-identity",
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
}
_PASSING = frozenset(
    {"OperationalError", "ConnectionError", "TimeoutError", "EndpointConnectionError", "HTTPClientError", "ConnectTimeoutError"}
)
"""Names of what SQLAlchemy, botocore and the standard library raise when nobody answers."""
_PAGE = 1000
_DOWNLOADS = 8
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


class Worker:
    """The operations, one method each; `mlflow` is imported before the first."""

    def __init__(self, uri: str) -> None:
        import mlflow  # noqa: PLC0415 - what this process is for
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - the same

        self._failure: type[Exception] = MlflowException
        self._client: Any = None  # the class comes untyped
        if uri:
            _check(uri)
            self._client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)

    def describe(self, keys: Iterable[Key]) -> list[dict[str, Any]]:
        """The versions that exist, in the form of MLflow's REST answers."""
        asked = {(name, version) for name, version in keys if can_exist((name, version))}
        searched = sorted(key for key in asked if can_be_searched(key[0])) if len(asked) > 1 else []
        found = {}
        for batch in batches(searched):
            for version in self._pages(self._client.search_model_versions, filter_string=batch.filter):
                found[version.name, str(version.version)] = version
        for name, version in sorted(asked - set(searched)):
            found[name, version] = self._maybe(partial(self._client.get_model_version, name, version))
        return [_item(v) for v in found.values() if v is not None and (v.name, str(v.version)) in asked]

    def versions(self, name: str) -> list[dict[str, Any]]:
        """All versions of a registered model, in any order."""
        mark = '"' if "'" in name else "'"
        pages = self._pages(self._client.search_model_versions, filter_string=f"name={mark}{name}{mark}")
        return [_item(version) for version in pages if version.name == name]

    def models(self) -> list[dict[str, Any]]:
        """All registered models by name, with the keys of their tags."""
        found = self._pages(self._client.search_registered_models)
        return [{"name": model.name, "tags": [{"key": key} for key in model.tags or {}]} for model in found]

    def alias(self, name: str, alias: str) -> dict[str, Any] | None:
        """The version that the alias points at."""
        found = self._maybe(lambda: self._client.get_model_version_by_alias(name, alias))
        return _item(found) if found is not None else None

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Points the alias at the version."""
        self._client.set_registered_model_alias(name, alias, version)

    def artifact_uri(self, name: str, version: str) -> str:
        """Where the version's files lie; empty when its logged model or run is gone."""
        uri = self._maybe(lambda: self._client.get_model_version_download_uri(name, version)) or ""
        if uri.startswith("models:/m-"):
            model = self._maybe(lambda: self._client.get_logged_model(uri.removeprefix("models:/")))
            return str(model.artifact_location) if model is not None else ""
        return str(uri)

    def metrics(self, model_id: str, run_id: str) -> list[Any]:
        """Numbers by name, and whose they are: `model`, `run` or neither."""
        model = self._maybe(lambda: self._client.get_logged_model(model_id)) if model_id else None
        if model is not None and model.metrics:
            return [metrics.of_model(map(dict, model.metrics), self._history), "model"]
        run = self._maybe(lambda: self._client.get_run(run_id)) if run_id else None
        values = {key: metrics.number(value) for key, value in run.data.metrics.items()} if run is not None else {}
        return [values, "run" if values else ""]

    def run(self, run_id: str) -> dict[str, Any] | None:
        """The run of that id, in the form of MLflow's REST answers."""
        run = self._maybe(lambda: self._client.get_run(run_id)) if run_id else None
        return _run(run) if run is not None else None

    def files(self, uri: str) -> list[tuple[str, int]]:
        """Path and size of every file below the address."""
        return [(file.path, file.size) for file in _listed(_repository(uri), uri)]

    def download(self, uri: str, into: str) -> None:
        """Writes every file below the address below `into`."""
        repository = _repository(uri)
        root = Path(into)

        def one(file: FileFacts) -> None:
            target = root / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            # The public method would choose the place itself, and ask once more whether this is a folder.
            repository._download_file(file.path, str(target))  # noqa: SLF001
            if target.stat().st_size != file.size:
                raise Error(f"the store sent {target.stat().st_size} bytes of {file.path!r} and had announced {file.size}")

        concurrently(one, _listed(repository, uri), workers=_DOWNLOADS)

    def _history(self, run_id: str, key: str) -> list[dict[str, Any]]:
        return [dict(metric) for metric in self._maybe(lambda: self._client.get_metric_history(run_id, key)) or []]

    def _pages(self, search: Callable[..., Any], **arguments: Any) -> Iterator[Any]:
        token = None
        while True:
            page = search(**arguments, max_results=_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _maybe(self, read: Callable[[], Any]) -> Any:
        """What is read, None where MLflow says that there is no such thing."""
        try:
            return read()
        except self._failure as e:
            if getattr(e, "error_code", "") in _MISSING:
                return None
            raise


def _item(version: Any) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": str(version.version),
        "status": str(version.status),
        "source": version.source or "",
        "run_id": version.run_id or "",
        "aliases": list(version.aliases or []),
        "tags": [{"key": key, "value": value} for key, value in (version.tags or {}).items()],
        "creation_timestamp": version.creation_timestamp or 0,
    }


def _run(run: Any) -> dict[str, Any]:
    def pairs(items: dict[str, str]) -> list[dict[str, str]]:
        return [{"key": key, "value": value} for key, value in items.items()]

    inputs = run.inputs.dataset_inputs if run.inputs is not None else []
    of_run = ("run_id", "run_name", "status", "user_id", "start_time", "end_time", "experiment_id")
    names = ("name", "digest", "source_type", "source")
    return {
        "info": {name: getattr(run.info, name) for name in of_run},
        "data": {
            "tags": pairs(run.data.tags),
            "params": pairs(run.data.params),
            "metrics": [{"key": key, "value": value} for key, value in run.data.metrics.items()],
        },
        "inputs": {
            "dataset_inputs": [
                {
                    "dataset": {name: getattr(one.dataset, name) for name in names},
                    "tags": [{"key": tag.key, "value": tag.value} for tag in one.tags],
                }
                for one in inputs
            ]
        },
    }


def _check(uri: str) -> None:
    """Raises `Error` for a database without MLflow's tables: the client would make them, in whatever database that is."""
    import sqlalchemy  # noqa: PLC0415 - comes with mlflow, not with its skinny form
    from mlflow.store.db import utils  # noqa: PLC0415 - the same

    utils.MAX_RETRY_COUNT = 2  # ten tries of theirs last 100 s
    engine = sqlalchemy.create_engine(uri)
    try:
        if not sqlalchemy.inspect(engine).has_table("model_versions"):
            raise Error(
                "this database holds no MLflow registry", hint="is it the right one? `mlflow db upgrade` makes the tables"
            )
    finally:
        engine.dispose()


def _repository(uri: str) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: PLC0415 - costs a second

    return get_artifact_repository(uri)


def _listed(repository: Any, uri: str) -> list[FileFacts]:
    def children(folder: str) -> Iterator[tuple[object, bool, int]]:
        for item in repository.list_artifacts(folder or None):
            yield item.path.removeprefix(f"{folder}/") if folder else item.path, item.is_dir, int(item.file_size or 0)

    return artifacts.listed(children, uri)


def _answer(work: Callable[[], Any]) -> dict[str, Any]:
    """`value`, or `error` as kind, message and hint: nothing that a library raises may end this process."""
    try:
        return {"value": work()}
    except ImportError as e:
        package = _PACKAGES.get((e.name or "").partition(".")[0], "'mlrelease[mlflow]'")
        return {"error": ["error", str(e), f"pip install {package}"]}
    except UnavailableError as e:
        return {"error": ["unavailable", e.message, e.hint]}
    except Error as e:
        return {"error": ["error", e.message, e.hint]}
    except Exception as e:  # noqa: BLE001 - the libraries' own exceptions are many; the text says which it was
        kind = "unavailable" if _is_passing(e) else "error"
        return {
            "error": [
                kind,
                str(e).strip() or type(e).__name__,
                "is it running, and reachable from here?" if kind != "error" else "",
            ]
        }


def _is_passing(error: BaseException) -> bool:
    """Whether later may be better: no connection, no answer, too many connections."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & _PASSING) or getattr(error, "error_code", "") == "TEMPORARILY_UNAVAILABLE"


def main() -> None:
    """Answers line by line until standard input ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer

    def say(answer: dict[str, Any]) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    first = json.loads(sys.stdin.readline() or "{}")
    made: list[Worker] = []
    ready = _answer(lambda: made.append(Worker(first["uri"])))
    say(ready)
    for line in sys.stdin if made else ():
        request = json.loads(line)
        say(_answer(partial(getattr(made[0], request.pop("do")), **request)))


if __name__ == "__main__":
    main()
