"""The artifacts that an MLflow server hands on (`mlflow-artifacts:`): listing and bytes over its own API."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from mlrelease.errors import Error
from mlrelease.http.calls import Http
from mlrelease.registries import artifacts
from mlrelease.registries.concurrently import concurrently
from mlrelease.registries.interface import FileFacts
from mlrelease.registries.mlflow_answers import NOT_ITS_SHAPE, unexpected

_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_AT_ONCE = 4  # files of one version; several versions are read beside each other


def listed(http: Http, uri: str) -> list[FileFacts]:
    """Every file below the address. Raises `Error` as `artifacts.listed` does, and for an answer of another shape."""
    place = artifacts.proxied_path(uri, http.authority)

    def children(folder: str) -> list[tuple[object, bool, int]]:
        page = http.get(_PROXY, {"path": f"{place}/{folder}".rstrip("/")})
        try:  # a size of 0 is left out of the JSON
            return [(i.get("path"), bool(i.get("is_dir")), int(i.get("file_size", 0))) for i in page.get("files", [])]
        except NOT_ITS_SHAPE as e:
            raise unexpected(http.server) from e

    return artifacts.listed(children, uri)


def save(http: Http, uri: str, files: tuple[FileFacts, ...], into: Path, *, until: float) -> None:
    """Writes `files` below `into`, sizes checked against the listing; done by the monotonic moment `until`."""
    place = artifacts.proxied_path(uri, http.authority)
    root = into.resolve()

    def one(file: FileFacts) -> None:
        target = root / file.path
        if not target.resolve().is_relative_to(root):
            raise Error("a listed file would be written outside its folder", where=uri)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise Error(f"cannot make a folder for a download: {(e.strerror or '').lower()}", where=str(target)) from e
        http.save(f"{_PROXY}/{quote(f'{place}/{file.path}')}", target, size=file.size, until=until)

    concurrently(one, files, workers=_AT_ONCE)
