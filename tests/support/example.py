"""The repository's own example files, and ways to break them: what tests of findings start from."""

from __future__ import annotations

from pathlib import Path

from mlrelease.model.spec import SourceFile

ROOT = Path(__file__).parents[2]
ENV = "environments/production/environment.yaml"
SVC = "environments/production/services/wine.yaml"
MOD = "environments/production/models/wine.yaml"
EXAMPLE = {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in (ROOT / "environments").rglob("*.yaml")}
# Two gates are enough for tests of findings: each gate has tests of its own.
EXAMPLE[ENV] = EXAMPLE[ENV].split(b"gates:\n")[0] + b"gates:\n  - gate: exists\n  - gate: digest\n"
IMAGE = EXAMPLE[SVC].split(b"image: ")[1].split(b"\n")[0].decode()
DIGEST = EXAMPLE[MOD].split(b"digest: ")[1].split(b"\n")[0].decode()
URI = "${MLFLOW_TRACKING_URI:-http://127.0.0.1:5000}"


def edited(*edits: tuple[str, str, str], **added: bytes) -> dict[str, SourceFile]:
    """The example with text replaced, each replacement being there exactly as named."""
    files = dict(EXAMPLE)
    for path, old, new in edits:
        assert old.encode() in files[path], old
        files[path] = files[path].replace(old.encode(), new.encode(), 1)
    return {path: SourceFile(data) for path, data in (files | added).items()}


def replaced(path: str, data: bytes) -> dict[str, SourceFile]:
    return {p: SourceFile(d) for p, d in (EXAMPLE | {path: data}).items()}


def without(*paths: str) -> dict[str, SourceFile]:
    return {p: SourceFile(d) for p, d in EXAMPLE.items() if p not in paths}


def second(name: str = "staging", **changes: str) -> dict[str, SourceFile]:
    """The example and a second environment that shares nothing with it, but for the changes (old text to new)."""
    files = {p: SourceFile(d) for p, d in EXAMPLE.items()}
    for path, data in EXAMPLE.items():
        text = data.decode().replace("production", name).replace(":8080", ":8081")
        for old, new in changes.items():
            text = text.replace(old, new)
        files[path.replace("production", name)] = SourceFile(text.encode())
    return files
