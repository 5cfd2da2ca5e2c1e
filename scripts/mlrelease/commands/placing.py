"""Putting new or changed files into the repository: only what brings no new finding, never over another file, one commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from mlrelease import atomic
from mlrelease.commands.versions import listed
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.delivery.source import ENVIRONMENTS
from mlrelease.errors import Error, UsageError
from mlrelease.model.finding import Finding
from mlrelease.model.spec import EnvironmentSpec, SourceFile, Spec, State


def checked(files: Mapping[str, SourceFile], changed: Mapping[str, bytes], *, pending: Iterable[str] = ()) -> Spec:
    """The spec after the change. Raises `Error` when the change brings a finding of another rule than the `pending` ones."""
    spec, new = weighed(files, changed, pending=pending)
    if new:
        raise Error(f"{said(new[0])}: nothing was written", hint=new[0].fix or "mlrelease validate --offline")
    return spec


def weighed(
    files: Mapping[str, SourceFile], changed: Mapping[str, bytes], *, pending: Iterable[str] = ()
) -> tuple[Spec, tuple[Finding, ...]]:
    """The spec after the change, and the findings that the change brings, but for those of the `pending` rules.

    Pending is what the next verb mends: an environment without services, a service without models.
    """
    from mlrelease.spec.load import load  # noqa: PLC0415 - pydantic costs 0.1 s that `--help` does not pay

    before = {_key(f) for f in load(files).findings}
    spec = load({**files, **{path: SourceFile(data) for path, data in changed.items()}})
    return spec, tuple(f for f in spec.findings if _key(f) not in before and f.rule not in set(pending))


def check_free(workspace: Workspace, path: str, data: bytes | None = None) -> None:
    """Raises `UsageError` when something is at `path`, here or in the commit checked out.

    A file with these very bytes that is not committed yet is what a killed run left: it is gone on with.
    """
    head = workspace.git.head()
    if head is not None and path in workspace.git.tree(head, path):
        raise UsageError(f"{path} is committed already: nothing was written", hint="mlrelease validate --offline")
    place = place_of(workspace, path)
    if not (place.exists() or place.is_symlink()):
        return
    if data is None or not place.is_file() or place.read_bytes() != data:
        raise UsageError(f"{path} exists: nothing was written", hint=f"git add {path} && git commit, or move it away")


def place_of(workspace: Workspace, path: str) -> Path:
    """Where a file of the repository lies. Raises `UsageError` when it, or a folder above it, is a link or no folder."""
    root = workspace.git.root()
    place = root
    parts = PurePosixPath(path).parts
    for number, part in enumerate(parts, start=1):
        if part == ".." or part.startswith("/"):
            raise UsageError(f"{path} leads out of the repository", hint="name an environment, a service or a model")
        place = place / part
        if place.is_symlink():
            raise UsageError(f"{place.relative_to(root)} is a link", hint="replace it by a real file or folder")
        if number < len(parts) and place.exists() and not place.is_dir():
            raise UsageError(f"{place.relative_to(root)} is no folder", hint="move it away")
    return place


def put(workspace: Workspace, files: Mapping[str, bytes], message: str, *, commit: bool) -> str:
    """Writes the files and commits them and nothing else; the commit, empty without one.

    Raises `Error` when a folder cannot be written or git refuses; then the files are as before.
    """
    places = {path: place_of(workspace, path) for path in files}
    if commit:
        return workspace.git.commit_paths(files, message)
    before: dict[Path, bytes | None] = {}
    try:
        for path, place in places.items():
            before[place] = place.read_bytes() if place.is_file() else None
            _written(place, files[path])
    except (Error, OSError):
        for place, data in before.items():
            if data is not None:
                atomic.write(place, data, mode=0o644)
            elif place.is_file():
                place.unlink()
        raise
    return ""


def _written(place: Path, data: bytes) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Error(f"{place.parent} cannot be made: {error.strerror}", hint="see who owns the folder above it") from error
    atomic.write(place, data, mode=0o644)


def worktree(workspace: Workspace) -> dict[str, SourceFile]:
    """The files below `environments/` as they lie here."""
    return dict(workspace.git.worktree(ENVIRONMENTS))


def writable(spec: Spec, name: str) -> EnvironmentSpec:
    """The environment of that name, also one that still lacks services: that is what is being mended."""
    environment = spec.environments.get(name)
    if environment is None:
        return environment_of(spec, name)
    if environment.state is State.ABSENT:
        raise UsageError(f"{name} says state: absent", hint="remove that line first")
    return environment


def service_of(files: Mapping[str, SourceFile], environment: str, service: str) -> str:
    """The service asked for, or the only one. Raises `UsageError` when it has no file."""
    folder = f"{ENVIRONMENTS}/{environment}/services/"
    there = {p.removeprefix(folder).removesuffix(".yaml") for p in files if p.startswith(folder) and p.endswith(".yaml")}
    if not service and len(there) == 1:
        return there.pop()
    if service not in there:
        what = f"{environment} has no service {service!r}" if service else "which service answers for it?"
        hint = f"services there: {listed(there)}" if there else f"mlrelease new service {environment} NAME --image …"
        raise UsageError(what, hint=hint)
    return service


def _key(finding: Finding) -> tuple[str, int, int, str, str]:
    # without what is expected: that may list the files of the folder, of which there is one more now
    return finding.path, finding.line, finding.column, finding.rule, finding.found


def said(finding: Finding) -> str:
    """Place, defect and what is expected, in one line."""
    place = f"{finding.path}:{finding.line}" if finding.line else finding.path
    expected = f" (expected: {finding.expected})" if finding.expected else ""
    return f"{place}: {finding.message}{expected}"
