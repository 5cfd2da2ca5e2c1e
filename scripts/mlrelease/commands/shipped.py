"""Which files mlrelease brings into a repository, and where each lies in the installation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlrelease.files import bundled
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.render.workflow import PATH as DEPLOY
from mlrelease.render.workflow import deploy_workflow, quoted, stages

WORKFLOWS = ("validate", "validate-online", "reconcile", "rollback", "propose", "release")
"""Those of mlrelease's own that work in any repository; `deploy` is made from the environments."""

_GITHUB = ".github"
_PUSHED = b"branches: [main]\n"


def vendored_files(environments: Iterable[EnvironmentSpec] = (), *, branch: str = "main") -> dict[str, bytes]:
    """The files by their path in a repository: schemas for editors, the agent's systemd unit, what GitHub reads.

    `environments` are those that the workflow `deploy` waits for, `branch` the one that says what should run.
    """
    templates = bundled("templates")
    chosen = [*sorted((templates / "schemas").glob("*.json")), *sorted((templates / "systemd").glob("*.service"))]
    files = {f"templates/{path.relative_to(templates).as_posix()}": path.read_bytes() for path in chosen}
    github = templates / "github"
    files |= {f"{_GITHUB}/{path.relative_to(github).as_posix()}": path.read_bytes() for path in _files(github)}
    own = bundled(_GITHUB)
    for name in WORKFLOWS:
        pushed = f"branches: [{quoted(branch)}]\n".encode()
        files[f"{_GITHUB}/workflows/{name}.yml"] = (own / "workflows" / f"{name}.yml").read_bytes().replace(_PUSHED, pushed)
    files[f"{_GITHUB}/zizmor.yml"] = (own / "zizmor.yml").read_bytes()
    actions = own / "actions"
    files |= {f"{_GITHUB}/actions/{path.relative_to(actions).as_posix()}": path.read_bytes() for path in _files(actions)}
    template = (templates / "workflows" / "deploy.yml.j2").read_text(encoding="utf-8")
    deploy = deploy_workflow(template, stages(environments), branch=branch)
    return files | ({DEPLOY: deploy} if deploy else {})


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def shipped_as(path: str) -> Path | None:
    """The installed file that was copied to a repository's path; None for what is made."""
    if path == DEPLOY:
        return None
    within = path.removeprefix(f"{_GITHUB}/")
    if within != path and not within.startswith(("workflows/", "actions/", "zizmor.yml")):
        return bundled("templates") / "github" / within
    folder, _, rest = path.partition("/")
    return bundled(folder) / rest
