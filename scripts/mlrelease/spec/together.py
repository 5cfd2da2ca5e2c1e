"""What is wrong between files: services and models of one environment, environments beside each other."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from mlrelease.model.finding import Finding
from mlrelease.spec import addresses, expand, values
from mlrelease.spec.documents import EnvironmentFile, ModelFile
from mlrelease.spec.folder import Folder
from mlrelease.spec.rules import Defect

MANY = 20
"""Names listed in what is expected; more are cut from the line anyway."""


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
        yield from _soak(folder, document)
        if _lists_nothing(document):
            expected = "at least one gate"
            defect = Defect("no-gates", "the list of gates is empty", *_at(folder, "gates"), "[]", expected)
            yield defect.at(folder.path, environment=folder.name)
    is_absent = document is not None and document.state == "absent"
    if not folder.services and not is_absent:
        path = folder.path.replace("environment.yaml", "services")
        defect = Defect("empty-environment", "the environment has no services", expected="at least one services/SERVICE.yaml")
        yield defect.at(path, environment=folder.name)
    yield from _models(folder, document if document is None or not _lists_nothing(document) else None)
    yield from _services(folder)
    yield from _alike(folder)


def _address(folder: Folder, document: EnvironmentFile) -> Iterator[Finding]:
    if expand.has_default(document.tracking_uri) and not values.is_loopback(document.target.listen):
        defect = Defect(
            "tracking-uri",
            "a default address is for a target on this machine only",
            *_at(folder, "tracking_uri"),
            found="${" + expand.names(document.tracking_uri)[0] + ":-...}",
            expected="${NAME} without default, or target.listen on loopback",
        )
        yield defect.at(folder.path, environment=folder.name)


def _soak(folder: Folder, document: EnvironmentFile) -> Iterator[Finding]:
    if values.seconds(document.soak) and not document.promotes_from:
        found, expected = document.soak, "promotes_from with the environment in which a version runs for so long"
        defect = Defect("idle-soak", "soak waits for nothing", *_at(folder, "soak"), found=found, expected=expected)
        yield defect.at(folder.path, environment=folder.name)


def _models(folder: Folder, environment: EnvironmentFile | None) -> Iterator[Finding]:
    known = ", ".join(sorted(folder.services)[:MANY])
    expected = f"one of: {known}" if known else "a service that has a file; there is none yet"
    for stem, model in folder.models.items():
        if model is None or any(defect.rule == "wrong-place" for defect in model.defects):
            continue
        path, said = folder.model_path(stem), model.says("service")
        # a name that is no name has its finding already
        if said and values.is_name(said) and said not in folder.services:
            line, column = model.place("service")
            defect = Defect("unknown-service", "no file describes this service", line, column, said, expected)
            # the whole environment: the service meant would otherwise be rolled out without this model
            yield defect.at(path, environment=folder.name)
        if model.document is not None and _lists_nothing(model.document):
            message, form = "the list of gates is empty", "at least one gate, or no key gates"
            defect = Defect("no-gates", message, *model.place("gates"), "[]", form)
            yield defect.at(path, environment=folder.name, service=folder.owner(stem))
        elif environment is not None and model.document is not None and not environment.gates and _is_ungated(model.document):
            line, column = model.place()
            defect = Defect(
                "no-gates", "neither the environment nor the model names a gate", line, column, "", "at least one gate"
            )
            yield defect.at(path, environment=folder.name, service=folder.owner(stem))


def _lists_nothing(document: EnvironmentFile | ModelFile) -> bool:
    """Whether somebody wrote `gates: []`: nothing is checked, or it was meant to switch gates off, which it does not."""
    return not document.gates and "gates" in document.model_fields_set


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


def _alike(folder: Folder) -> Iterator[Finding]:
    """Names of one environment that differ only in case: a file system or a database may take them for one."""
    for name, others in _twins(folder.services):
        yield _same_name(name, others).at(folder.service_path(name), environment=folder.name, service=name)
    for name, others in _twins(folder.models):
        yield _same_name(name, others).at(folder.model_path(name), environment=folder.name, service=folder.owner(name))


def _same_name(name: str, others: Iterable[str]) -> Defect:
    message = "the name differs from another only in case or width: some file systems and databases take both for one"
    return Defect("same-name", message, found=name, expected=f"another name than {', '.join(others)}")


def _twins(names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Each name with those that are equal to it but for case, width and ligatures."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[name.lower() if name.isascii() else unicodedata.normalize("NFKC", name).casefold()].append(name)
    for group in groups.values():
        for name in group if len(group) > 1 else []:
            yield name, [other for other in group if other != name]


def between(folders: Collection[Folder], variables: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """The findings about environments that collide. Each of them gets one: which of the two is meant, nobody can know.

    With `variables` addresses are compared as they are here and now, and one that cannot be told is a finding too.
    """
    present = [
        (f, f.environment.document)
        for f in folders
        if f.environment and f.environment.document and f.environment.document.state == "present"
    ]
    names = {f.name for f in folders}
    for folder, document in present:
        if document.promotes_from and (document.promotes_from == folder.name or document.promotes_from not in names):
            others = ", ".join(sorted(names - {folder.name}))
            defect = Defect(
                "unknown-environment",
                "promotes_from names no other environment",
                *_at(folder, "promotes_from"),
                found=document.promotes_from,
                expected=f"one of: {others}" if others else "another environment; there is none yet",
            )
            yield defect.at(folder.path, environment=folder.name)
        yield from _unset(folder, document, variables)
    for name, twins in _twins(names):
        folder = next(f for f in folders if f.name == name)
        yield _same_name(name, sorted(twins)).at(folder.path, environment=name)
    yield from _foreign(folders)
    yield from _listeners(present)
    yield from _aliases(present, variables)


def _unset(folder: Folder, document: EnvironmentFile, variables: Mapping[str, str] | None) -> Iterator[Finding]:
    for name in expand.missing(document.tracking_uri, variables) if variables is not None else ():
        message = f"the variable {name} is not set, and the address of MLflow needs it"
        place = _at(folder, "tracking_uri")
        fix = f"export {name}=…    # where mlrelease runs"
        defect = Defect("variable-unset", message, *place, found=f"${{{name}}}", expected="a variable that is set", fix=fix)
        yield defect.at(folder.path, environment=folder.name)


def _foreign(folders: Iterable[Folder]) -> Iterator[Finding]:
    """Model pins with the digest of an image: one of the two was pasted into the wrong file.

    Two models may share a digest, for MLflow can register the same files under two names; whether a digest is that of
    the version named, the gate `digest` decides.
    """
    documents = [(f, s.document) for f in folders for s in f.services.values() if s and s.document]
    images = {document.image.rpartition("@")[2]: (folder, document.service) for folder, document in documents}
    for folder in folders:
        for stem, model in folder.models.items():
            if model and model.document and model.document.digest in images:
                home, service = images[model.document.digest]
                defect = Defect(
                    "foreign-digest",
                    f"this is the digest of the image of {service} in {home.name}",
                    *model.place("digest"),
                    found=model.document.digest,
                    expected="the digest of the model's own files",
                )
                said = model.document.version
                yield defect.at(
                    folder.model_path(stem), environment=folder.name, service=folder.owner(stem), name=stem, version=said
                )


def _listeners(present: Collection[tuple[Folder, EnvironmentFile]]) -> Iterator[Finding]:
    by_port: dict[int, list[tuple[Folder, str]]] = defaultdict(list)
    for folder, document in present:
        host, _, port = document.target.listen.rpartition(":")
        by_port[int(port)].append((folder, host))
    for number, group in by_port.items():
        for folder, host in group:
            others = [f.name for f, other in group if f is not folder and addresses.overlap(host, other)]
            if others:
                defect = Defect(
                    "listen-conflict",
                    f"the listener takes the port of that in {', '.join(others)}",
                    *_at(folder, "target", "listen"),
                    found=f"{host}:{number}",
                    expected="one of its own",
                )
                yield defect.at(folder.path, environment=folder.name)


def _aliases(present: Collection[tuple[Folder, EnvironmentFile]], variables: Mapping[str, str] | None) -> Iterator[Finding]:
    by_alias: dict[str, list[tuple[Folder, frozenset[str]]]] = defaultdict(list)
    for folder, document in present:
        if document.alias:
            by_alias[document.alias].append((folder, addresses.servers(document.tracking_uri, variables)))
    for alias, group in by_alias.items():
        for folder, servers in group:
            others = [f.name for f, theirs in group if f is not folder and servers & theirs]
            if others:
                defect = Defect(
                    "alias-conflict",
                    f"the alias is written in the same MLflow server by {', '.join(others)}",
                    *_at(folder, "alias"),
                    found=alias,
                    expected="one of its own",
                )
                yield defect.at(folder.path, environment=folder.name)


def _at(folder: Folder, *keys: str) -> tuple[int, int]:
    return folder.environment.place(*keys) if folder.environment else (0, 0)
