"""`ModelRegistry` over the `mlflow` client: for a tracking database that no server stands before (SQLite, PostgreSQL …)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from mlrelease.errors import Error
from mlrelease.model.run import RunFacts
from mlrelease.model.version import VersionFacts
from mlrelease.registries import artifacts
from mlrelease.registries.client_process import ClientProcess
from mlrelease.registries.interface import FileFacts
from mlrelease.registries.mlflow_answers import facts_of, is_prompt, original_of
from mlrelease.registries.runs import run_of

_MOST_COPIES = 8  # a copy of a copy of …


class MlflowClient:
    """One tracking database, read and written through the `mlflow` package in a process of its own. Thread-safe.

    A path after `sqlite:///` is relative to `base`. Raises `Error` when no SQLite file lies there: the client would make one.
    """

    def __init__(self, uri: str, *, env: Mapping[str, str], base: Path) -> None:
        scheme, _, rest = uri.partition("://")
        if scheme.partition("+")[0] == "sqlite":
            path = (base / rest.removeprefix("/").partition("?")[0]).absolute()
            if not path.is_file():
                raise Error(
                    "there is no MLflow database",
                    hint="log a model there first, or correct tracking_uri (sqlite:/// is relative to the repository)",
                    where=str(path),
                )
            self.where = f"{scheme}:///{path}"
            uri = self.where
        else:
            self.where = _shown(uri)
        self._client = ClientProcess(env, uri=uri, where=self.where)

    def describe(self, versions: Iterable[tuple[str, str]]) -> dict[tuple[str, str], VersionFacts | None]:
        """Facts by (name, version), searched for together; None where there is no such version."""
        asked: dict[tuple[str, str], VersionFacts | None] = dict.fromkeys(sorted(set(versions)))
        if not asked:
            return asked
        return asked | {(f.name, f.version): f for f in map(facts_of, self._client.ask("describe", keys=list(asked)))}

    def versions(self, name: str) -> tuple[VersionFacts, ...]:
        """All versions of a registered model, newest first. `aliases` stay empty: a search has none."""
        if "'" in name and '"' in name:
            return ()  # such a name cannot be written in a filter, nor be registered by the client
        found = map(facts_of, self._client.ask("versions", name=name))
        return tuple(sorted(found, key=lambda facts: int(facts.version), reverse=True))

    def models(self) -> tuple[str, ...]:
        """The names of all registered models, sorted, without prompts."""
        return tuple(sorted(str(item["name"]) for item in self._client.ask("models") if not is_prompt(item)))

    def alias(self, name: str, alias: str) -> VersionFacts | None:
        """The version that the alias points at."""
        found = self._client.ask("alias", name=name, alias=alias)
        return facts_of(found) if found is not None else None

    def metrics(self, facts: VersionFacts) -> tuple[Mapping[str, float], str]:
        """Those of the version's logged model, else its run's."""
        original: VersionFacts | None = facts
        for _ in range(_MOST_COPIES):
            if original is None or original.model_id or not (key := original_of(original.source)):
                break
            original = self.describe([key])[key]
        values, source = self._client.ask("metrics", model_id=original.model_id if original else "", run_id=facts.run_id)
        return dict(values), str(source)

    def run(self, run_id: str) -> RunFacts | None:
        """The run of that id; None where there is none."""
        found = self._client.ask("run", run_id=run_id)
        return run_of(found) if found is not None else None

    def files(self, facts: VersionFacts) -> tuple[FileFacts, ...]:
        """Every file of the version, sorted by path. Raises `Error` when there is none."""
        return self._files(facts, self._place(facts))

    def download(self, facts: VersionFacts, into: Path) -> None:
        """Writes every file of the version below `into`. Loads nothing."""
        uri = self._place(facts)
        if artifacts.scheme_of(uri) == "file":
            artifacts.copy_local(artifacts.local_root(uri), self._files(facts, uri), into)
        else:
            self._client.download(uri, into)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Points the alias at the version."""
        self._client.ask("set_alias", name=name, alias=alias, version=version)

    def _files(self, facts: VersionFacts, uri: str) -> tuple[FileFacts, ...]:
        local = artifacts.scheme_of(uri) == "file"
        found = artifacts.local_files(artifacts.local_root(uri)) if local else self._client.files(uri)
        return artifacts.checked(facts, uri, found)

    def _place(self, facts: VersionFacts) -> str:
        """The address of the files. Raises `Error` for one that cannot be read from here."""
        uri = facts.artifact_uri or str(self._client.ask("artifact_uri", name=facts.name, version=facts.version))
        if artifacts.scheme_of(uri) == "mlflow-artifacts":
            raise Error(
                f"{facts.name} version {facts.version}: its files lie behind an MLflow server, and only the database is asked",
                hint="point tracking_uri at that server",
            )
        return artifacts.readable(replace(facts, artifact_uri=uri), uri)


def _shown(uri: str) -> str:
    """The address for messages: no user, password or options."""
    try:
        parts = urlsplit(uri)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError as e:
        raise Error("the MLflow address is not a URL", hint="a password with / @ : ? # must be percent-encoded") from e
