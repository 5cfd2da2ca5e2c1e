"""`init DIR`: a repository to start from: the example environment, schemas, a systemd unit, workflows, one commit."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlrelease.commands.shipped import vendored_files
from mlrelease.commands.vendored import with_record
from mlrelease.errors import Error, UsageError
from mlrelease.files import bundled
from mlrelease.forge.git import Git
from mlrelease.model.spec import SourceFile
from mlrelease.render.report import Report
from mlrelease.spec.edit import set_scalar

ENVIRONMENT = "environments/production/environment.yaml"

README = """\
# What runs, in git

The files below `environments/` say which model version and which image run where. mlrelease (`mlrelease --help`)
makes it so, proves it, and keeps the proof on the branch `mlrelease/ledger`.

    mlrelease validate                          # every pin, against MLflow and its gates
    mlrelease bump production wine --to 1       # pin a version: digest and golden predictions
    mlrelease plan production                   # what would happen
    git push && mlrelease deploy production     # or let `mlrelease agent` do it on the host
    git revert HEAD && git push                 # back, proved
"""


@dataclass(frozen=True, slots=True)
class InitOptions:
    """What to start with; `remote` is added as origin and pushed to."""

    branch: str = "main"
    remote: str = ""
    tracking_uri: str = ""
    listen: str = ""
    state_dir: str = ""


def init(directory: str, options: InitOptions) -> Report:
    """Makes a repository in `directory` (new, or empty but for git). Never overwrites a file.

    Raises `UsageError` when something is in the way, `Error` when the remote refuses the push.
    """
    root = Path(directory)
    files = _files(options)
    in_the_way = [name for name in files if (root / name).exists()]
    if in_the_way:
        raise UsageError(f"{root / in_the_way[0]} exists: nothing was written", hint="choose a new folder")
    with _undone(root, files):
        try:
            sha = _make(root, files, options)
        except OSError as error:
            raise Error(
                f"{error.filename or root} cannot be written: {error.strerror}", hint="choose a folder that you may write"
            ) from error
    pushed = ", pushed to origin" if options.remote else ""
    there = "" if root == Path() else f"cd {shlex.quote(str(root))} && "
    return Report(
        verdict=f"{root}: {len(files)} files in commit {sha[:9]}{pushed}",
        data={"directory": str(root), "commit": sha, "files": sorted(files)},
        details=sorted(name for name in files if name.startswith("environments/")),
        next=f"{there}mlrelease validate --offline",
    )


def _make(root: Path, files: dict[str, bytes], options: InitOptions) -> str:
    """The repository with its first commit, pushed where there is a remote; the commit."""
    root.mkdir(parents=True, exist_ok=True)
    git = Git(root)
    git.run("init", "--quiet", f"--initial-branch={options.branch}")
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    git.run("config", "mlrelease.branch", options.branch)
    sha = git.commit_paths(files, "Start with the example environment\n")
    if options.remote:
        git.run("remote", "add", "origin", options.remote)
        git.push("origin", options.branch)
        git.run("branch", "--quiet", f"--set-upstream-to=origin/{options.branch}")
    return sha


@contextmanager
def _undone(root: Path, files: Iterable[str]) -> Iterator[None]:
    """Takes away what the block put into `root` when it fails (no identity, no remote): the next try starts afresh."""
    places = {root, root / ".git"}
    for name in files:
        places |= {root / name, *(root / folder for folder in Path(name).parents)}
    absent = sorted(place for place in places if not os.path.lexists(place))
    back = None if root / ".git" in absent else _as_it_was(root, files)
    try:
        yield
    except BaseException:
        for place in absent:  # a folder comes before what is in it
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place, ignore_errors=True)
            elif os.path.lexists(place):
                place.unlink()
        if back is not None:
            back()
        raise


def _as_it_was(root: Path, files: Iterable[str]) -> Callable[[], None]:
    """What puts a repository that was there back: its commit, its settings, and its index but for these files."""
    git, settings = Git(root), root / ".git" / "config"
    head, text = git.head(), settings.read_bytes() if settings.is_file() else None

    def back() -> None:
        if text is not None:
            settings.write_bytes(text)
        if git.head() != head:
            git.run(*(("update-ref", "HEAD", head) if head else ("update-ref", "-d", "HEAD")))
            git.run("rm", "--cached", "--quiet", "--ignore-unmatch", "--", *files)

    return back


def _files(options: InitOptions) -> dict[str, bytes]:
    from mlrelease.spec.load import load  # noqa: PLC0415 - pydantic costs 0.1 s that `--help` does not pay

    files = {
        f"environments/{path.relative_to(bundled('environments')).as_posix()}": path.read_bytes()
        for path in sorted(bundled("environments").rglob("*.yaml"))
    }
    if options.tracking_uri:
        files[ENVIRONMENT] = set_scalar(files[ENVIRONMENT], ("tracking_uri",), options.tracking_uri)
    if options.listen:
        files[ENVIRONMENT] = set_scalar(files[ENVIRONMENT], ("target", "listen"), options.listen)
    if options.state_dir:
        # The example leaves the default; the key is put below its neighbour, then set like any other value.
        listen = next(line for line in files[ENVIRONMENT].splitlines(keepends=True) if line.strip().startswith(b"listen:"))
        indent = listen[: len(listen) - len(listen.lstrip())]
        files[ENVIRONMENT] = files[ENVIRONMENT].replace(listen, listen + indent + b"state_dir: here\n")
        files[ENVIRONMENT] = set_scalar(files[ENVIRONMENT], ("target", "state_dir"), options.state_dir)
    spec = load({path: SourceFile(data) for path, data in files.items()})
    files |= with_record(vendored_files(spec.environments.values(), branch=options.branch))
    files["README.md"] = README.encode()
    return files
