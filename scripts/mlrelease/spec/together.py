"""What is wrong between files: services and models of one environment, environments beside each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from mlrelease.model.finding import Finding
from mlrelease.spec import expand, values
from mlrelease.spec.documents import EnvironmentFile, ModelFile
from mlrelease.spec.folder import Folder
from mlrelease.spec.rules import Defect


def within(folder: Folder) -> Iterator[Finding]:
    """The findings about one environment as a whole."""
    if not folder.has_file:
        defect = Defect(
            "missing-environment-file", "the environment has no file of its own", expected="environment.yaml in the folder"
        )
        yield defect.at(folder.path, environment=folder.name)
    document = folder.environment.document if folder.environment else None
    if document is not None:
        yield from _address(folder, document)
    is_absent = document is not None and document.state == "absent"
    if not folder.services and not is_absent:
        path = folder.path.replace("environment.yaml", "services")
        defect = Defect("empty-environment", "the environment has no services", expected="at least one services/SERVICE.yaml")
        yield defect.at(path, environment=folder.name)
    yield from _models(folder, document)
    yield from _services(folder)


def _address(folder: Folder, document: EnvironmentFile) -> Iterator[Finding]:
    if expand.has_default(document.tracking_uri) and not values.is_loopback(document.target.listen):
        defect = Defect(
            "tracking-uri",
            "a default address is for a target on this machine only",
            *_at(folder, "tracking_uri"),
            found="${" + expand.names(document.tracking_uri)[0] + ":-…}",
            expected="${NAME} without default, or target.listen on loopback",
        )
        yield defect.at(folder.path, environment=folder.name)


def _models(folder: Folder, environment: EnvironmentFile | None) -> Iterator[Finding]:
    for stem, model in folder.models.items():
        if model is None:
            continue
        path, said = folder.model_path(stem), model.says("service")
        # a name that is no name has its finding already
        if said and values.is_name(said) and said not in folder.services:
            line, column = model.place("service")
            known = ", ".join(sorted(folder.services)) or "none yet"
            defect = Defect("unknown-service", "no file describes this service", line, column, said, f"one of: {known}")
            # the whole environment: the service meant would otherwise be rolled out without this model
            yield defect.at(path, environment=folder.name)
        if environment is not None and model.document is not None and not environment.gates and _is_ungated(model.document):
            line, column = model.place()
            defect = Defect(
                "no-gates", "neither the environment nor the model names a gate", line, column, "", "at least one gate"
            )
            yield defect.at(path, environment=folder.name, service=folder.owner(stem), name=stem)


def _is_ungated(model: ModelFile) -> bool:
    return not model.gates and model.state == "present"


def _services(folder: Folder) -> Iterator[Finding]:
    claimed = {
        folder.owner(stem) for stem, m in folder.models.items() if not (m and m.document and m.document.state == "absent")
    }
    if "" in claimed:
        return  # a model that names no service we know may be meant for any of them
    for stem, service in folder.services.items():
        document = service.document if service else None
        if document is not None and document.state == "present" and stem not in claimed and service is not None:
            line, column = service.place("service")
            defect = Defect(
                "service-without-models",
                "no model names this service",
                line,
                column,
                stem,
                f"a model file with service: {stem}",
            )
            yield defect.at(folder.service_path(stem), environment=folder.name, service=stem)


def between(folders: Iterable[Folder]) -> Iterator[Finding]:
    """The findings about environments that collide. Each of them gets one: which of the two is meant, nobody can know."""
    present = {
        f.name: (f, f.environment.document)
        for f in folders
        if f.environment and f.environment.document and f.environment.document.state == "present"
    }
    names = {f.name for f in folders}
    for folder, document in present.values():
        if document.promotes_from and (document.promotes_from == folder.name or document.promotes_from not in names):
            others = ", ".join(sorted(names - {folder.name})) or "no other environment exists"
            defect = Defect(
                "unknown-environment",
                "promotes_from names no other environment",
                *_at(folder, "promotes_from"),
                found=document.promotes_from,
                expected=f"one of: {others}",
            )
            yield defect.at(folder.path, environment=folder.name)
    yield from _equal(present.values(), "listen-conflict", "listen", _listen, ("target", "listen"))
    yield from _equal(present.values(), "alias-conflict", "alias", _alias, ("alias",))


def _equal(
    present: Iterable[tuple[Folder, EnvironmentFile]],
    rule: str,
    noun: str,
    value: Callable[[EnvironmentFile], str],
    keys: tuple[str, ...],
) -> Iterator[Finding]:
    groups: dict[str, list[tuple[Folder, EnvironmentFile]]] = defaultdict(list)
    for folder, document in present:
        if value(document):
            groups[value(document)].append((folder, document))
    for group in groups.values():
        for folder, document in group if len(group) > 1 else []:
            others = ", ".join(f.name for f, _ in group if f is not folder)
            found = document.target.listen if noun == "listen" else document.alias
            defect = Defect(
                rule,
                f"{noun} is the same as in {others}",
                *_at(folder, *keys),
                found=found,
                expected="one of its own",
            )
            yield defect.at(folder.path, environment=folder.name)


def _listen(document: EnvironmentFile) -> str:
    host, _, port = document.target.listen.rpartition(":")
    return f"{'127.0.0.1' if host == 'localhost' else host}:{int(port)}"


def _alias(document: EnvironmentFile) -> str:
    return f"{document.tracking_uri} {document.alias}" if document.alias else ""


def _at(folder: Folder, *keys: str) -> tuple[int, int]:
    return folder.environment.place(*keys) if folder.environment else (0, 0)
