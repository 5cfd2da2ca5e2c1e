"""What the ledger says runs and no file names any more: a deleted file or folder takes nothing away (DESIGN §6 row 4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from mlrelease.history.fold import History
from mlrelease.model.finding import Finding
from mlrelease.spec.folder import ROOT
from mlrelease.spec.rules import Defect


def undeclared(paths: Iterable[str], histories: Mapping[str, History]) -> tuple[Finding, ...]:
    """One finding for each environment of the ledger whose folder is gone, and for each service whose file is, sorted.

    `paths` are those of the files below `environments/`, good or not; a service whose removal is recorded needs none.
    """
    declared: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        parts = path.split("/")
        if parts[0] == ROOT and len(parts) > 2:
            declared[parts[1]].add("/".join(parts[2:]))
    found: list[Finding] = []
    for environment, history in histories.items():
        running = [service for service in sorted(history.recorded) if history.bundle(service) is not None]
        if environment not in declared:
            found += [_gone_environment(environment, running)] if running else []
            continue
        missing = (service for service in running if f"services/{service}.yaml" not in declared[environment])
        found += [_gone_service(environment, service) for service in missing]
    return tuple(sorted(found))


def _gone_environment(environment: str, running: list[str]) -> Finding:
    path = f"{ROOT}/{environment}"
    defect = Defect(
        "undeclared",
        f"the environment has no files any more, yet the ledger has {len(running)} of its services running",
        found=", ".join(running),
        expected="the folder, with state: absent in its environment.yaml",
        fix=_way_back(path, "environment.yaml"),
    )
    return defect.at(path, environment=environment)


def _gone_service(environment: str, service: str) -> Finding:
    path = f"{ROOT}/{environment}/services/{service}.yaml"
    defect = Defect(
        "undeclared",
        "the service has no file any more, yet the ledger has it running",
        found=service,
        expected="the file, with state: absent in it",
        fix=_way_back(path, "it"),
    )
    return defect.at(path, environment=environment, service=service)


def _way_back(path: str, file: str) -> str:
    return f"git checkout $(git rev-list -1 HEAD -- {path})~1 -- {path}, then write state: absent into {file}"
