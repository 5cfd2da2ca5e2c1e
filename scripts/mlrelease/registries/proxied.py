"""The artifacts that an MLflow server hands on (`mlflow-artifacts:`): listing and bytes over its own API."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from mlrelease.errors import Error
from mlrelease.http.calls import Http
from mlrelease.registries import artifacts
from mlrelease.registries.concurrently import concurrently
from mlrelease.registries.interface import FileFacts

_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_AT_ONCE = 4  # files of one version; several versions are read beside each other


def listed(http: Http, uri: str) -> list[FileFacts]:
    """Every file below the address, folder by folder. Raises `Error` for unsafe names and for a listing without end."""
    place = artifacts.proxied_path(uri, http.authority)
    found: list[FileFacts] = []
    todo = [""]
    while todo:
        folder = todo.pop()
        page = http.get(_PROXY, {"path": f"{place}/{folder}".rstrip("/")})
        for item in page.get("files", []):
            name = artifacts.safe_name(item.get("path"), uri)
            path = f"{folder}/{name}".lstrip("/")
            if item.get("is_dir"):
                todo.append(path)
            else:
                found.append(FileFacts(path, int(item.get("file_size", 0))))  # 0 is left out of the JSON
        if len(found) > artifacts.MOST_FILES or any(p.count("/") >= artifacts.LARGEST_DEPTH for p in todo):
            raise Error("the version's artifacts have no end: too many files or folders", where=uri)
    if len({file.path for file in found}) != len(found):
        raise Error("the registry lists a file of the version twice", where=uri)
    return found


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
