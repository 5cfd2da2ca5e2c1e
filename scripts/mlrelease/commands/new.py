"""`new environment | service | model`: one valid file of the house's form, one commit. Nothing is overwritten or guessed."""

from __future__ import annotations

from dataclasses import dataclass

from mlrelease.commands.forms import environment_text, model_text, service_text, state_of
from mlrelease.commands.output import say
from mlrelease.commands.placing import check_free, checked, put, service_of, worktree, writable
from mlrelease.commands.vendored import deploy_again
from mlrelease.commands.versions import find_version, keep_golden, listed, refused, to_load
from mlrelease.commands.workspace import Workspace, cache_folder
from mlrelease.delivery.admission import NotAdmittedError
from mlrelease.delivery.source import ENVIRONMENTS
from mlrelease.errors import UsageError
from mlrelease.history.fold import fold
from mlrelease.model.bundle import ModelPin
from mlrelease.model.gate import GateSpec
from mlrelease.model.spec import EnvironmentSpec, SourceFile, Spec, State
from mlrelease.render.report import Report

ADDRESS = "${MLFLOW_TRACKING_URI}"
LISTEN = "127.0.0.1:8080"
INCOMPLETE = ("empty-environment", "service-without-models")
"""What a new environment or service lacks until the next verb adds it."""


@dataclass(frozen=True, slots=True)
class NewEnvironment:
    """What the file says; empty: that of `like`, else the default of the house."""

    listen: str = ""
    tracking_uri: str = ""
    alias: str = ""
    promotes_from: str = ""
    approval: str = ""
    like: str = ""
    commit: bool = True


@dataclass(frozen=True, slots=True)
class NewService:
    """`like` is SERVICE or ENV/SERVICE; 0 replicas: those of `like`, else of the example."""

    image: str = ""
    replicas: int = 0
    like: str = ""
    commit: bool = True


@dataclass(frozen=True, slots=True)
class NewModel:
    """`version` empty: the newest that is registered; `like` is MODEL or ENV/MODEL."""

    service: str = ""
    version: str = ""
    like: str = ""
    commit: bool = True


def new_environment(workspace: Workspace, name: str, options: NewEnvironment) -> Report:
    """Writes `environments/NAME/environment.yaml`, and the workflow that waits for it where nobody changed that one.

    Raises `UsageError` for a bad name, `Error` for what would be invalid.
    """
    _check_name(name)
    files = worktree(workspace)
    spec = workspace.worktree_spec()
    like = _source(files, options.like, f"{ENVIRONMENTS}/{options.like}/environment.yaml") if options.like else None
    copied = writable(spec, options.like) if options.like else None
    values = {
        "tracking_uri": options.tracking_uri or ("" if like else ADDRESS),
        "target.listen": options.listen or _free_address(spec, copied, name),
        # a copied file without an alias stays without
        "alias": options.alias or (name if copied is None or copied.alias else ""),
        # a line that is added goes directly below the name: the last one comes first
        "approval": options.approval,
        "promotes_from": options.promotes_from,
    }
    path = f"{ENVIRONMENTS}/{name}/environment.yaml"
    data = environment_text(name, values, like=like)
    check_free(workspace, path, data)
    after = checked(files, {path: data}, pending=INCOMPLETE)
    workflow = deploy_again(workspace, after.environments)
    sha = put(workspace, {path: data, **workflow}, f"Add the environment {name}\n", commit=options.commit)
    made = after.environments[name]
    details = [f"MLflow: {made.tracking_uri}", f"answers at {made.target.listen}", f"alias: {made.alias or 'none'}"]
    details += [f"{place}: waits for it after a push" for place in workflow if place.endswith(".yml")]
    return _report(name, path, sha, details, f"mlrelease new service {name} NAME --image REPOSITORY:TAG@sha256:…")


def new_service(workspace: Workspace, environment: str, name: str, options: NewService) -> Report:
    """Writes a service file. Raises `UsageError` for a bad name or an image without tag and digest."""
    files = worktree(workspace)
    writable(workspace.worktree_spec(), environment)
    _check_name(name)
    if options.image:
        _check_image(options.image)
    elif not options.like:
        raise UsageError("which image?", hint="--image REPOSITORY:TAG@sha256:…, or --like SERVICE")
    like = _copied(files, environment, options.like, "services") if options.like else None
    path = f"{ENVIRONMENTS}/{environment}/services/{name}.yaml"
    data = service_text(name, image=options.image, replicas=options.replicas, like=like)
    check_free(workspace, path, data)
    checked(files, {path: data}, pending=INCOMPLETE)
    sha = put(workspace, {path: data}, f"Add the service {name} to {environment}\n", commit=options.commit)
    return _report(environment, path, sha, [], f"mlrelease new model {environment} MODEL --service {name}")


def new_model(workspace: Workspace, environment: str, name: str, options: NewModel) -> Report:
    """Writes a model file with version and digest as MLflow has them now. Exit code 5 when that version was rejected here.

    Raises `UnavailableError` when MLflow does not answer: a file never holds a digest that nobody computed.
    """
    from mlrelease.registries.cache import ArtifactCache  # noqa: PLC0415 - requests costs 0.1 s

    files = worktree(workspace)
    env = writable(workspace.worktree_spec(), environment)
    _check_name(name, model=True)
    if options.version:
        check_version(options.version)
    service = service_of(files, environment, options.service)
    like = _copied(files, environment, options.like, "models") if options.like else None
    path = f"{ENVIRONMENTS}/{environment}/models/{name}.yaml"
    registry = workspace.registry(env)
    if path in files and options.version == "":
        check_free(workspace, path)
    facts = find_version(registry, name, options.version)
    say(f"{name} {facts.version}: reading its artifacts")
    digest, folder = ArtifactCache(cache_folder(workspace.variables)).fetch(facts, registry)
    pin = ModelPin(name, facts.version, digest)
    data = model_text(service, pin, like=like)
    check_free(workspace, path, data)
    after = checked(files, {path: data}, pending=INCOMPLETE)
    ledger = workspace.ledger()
    meant = after.environments[environment].services.get(service)
    no = refused(fold(environment, ledger.read(environment).events), meant.bundle, pin) if meant is not None else ""
    if no:
        command = f'mlrelease unreject {environment} {name} {pin.version} --reason "…"'
        return Report(verdict=f"{no}: nothing was written", data=_data(environment, path, ""), next=command, exit_code=5)
    try:
        gates, python = _policy(after, environment, name)
        note = keep_golden(ledger, to_load(workspace, pin, folder, gates, python))
    except NotAdmittedError as error:
        verdict = f"{name} {pin.version} was not loaded: {error.message}: nothing was written"
        return Report(verdict=verdict, data=_data(environment, path, ""), next=error.hint, exit_code=5)
    body = f"Digest {digest}" + (f"\nRun {facts.run_id}" if facts.run_id else "")
    sha = put(workspace, {path: data}, f"Pin {name} {pin.version} in {environment}\n\n{body}\n", commit=options.commit)
    details = [f"version {pin.version}, {digest}", f"answered for by {service}", note]
    return _report(environment, path, sha, details, f"mlrelease plan {environment}")


def _policy(spec: Spec, environment: str, model: str) -> tuple[tuple[GateSpec, ...], str]:
    """The gates that will judge the new model, its own or the environment's, and its service's interpreter."""
    env = spec.environments[environment]
    own = [(m.gates, service.python) for service in env.services.values() for m in service.models if m.name == model]
    return own[0] if own else (env.gates, "")


def check_version(text: str) -> None:
    """Raises `UsageError` unless the text is one exact version."""
    from mlrelease.spec import values  # noqa: PLC0415
    from mlrelease.spec.rules import WrongValueError  # noqa: PLC0415

    try:
        values.exact_version(text)
    except WrongValueError as error:
        raise UsageError(f"{error.message}: {text!r}", hint=error.expected) from error


def _check_name(name: str, *, model: bool = False) -> None:
    from mlrelease.spec import values  # noqa: PLC0415 - with the spec, not by `--help`
    from mlrelease.spec.rules import WrongValueError  # noqa: PLC0415

    try:
        (values.model_name if model else values.name)(name)
    except WrongValueError as error:
        raise UsageError(f"{error.message}: {name!r}", hint=error.expected) from error


def _check_image(reference: str) -> None:
    from mlrelease.spec import values  # noqa: PLC0415
    from mlrelease.spec.rules import WrongValueError  # noqa: PLC0415

    try:
        values.image(reference)
    except WrongValueError as error:
        raise UsageError(error.message, hint=f"{error.expected}: docker buildx imagetools inspect shows it") from error


def _copied(files: dict[str, SourceFile], environment: str, like: str, kind: str) -> bytes:
    """The bytes of the file that `NAME` or `ENV/NAME` names."""
    first, slash, rest = like.partition("/")
    where, name = (first, rest) if slash else (environment, first)
    return _source(files, like, f"{ENVIRONMENTS}/{where}/{kind}/{name}.yaml")


def _source(files: dict[str, SourceFile], like: str, path: str) -> bytes:
    # looked up among the files below environments/, never opened: `../..` names nothing there
    source = files.get(path)
    if source is None or source.problem:
        folder, _, _ = path.rpartition("/")
        there = (p.removeprefix(f"{folder}/").removesuffix(".yaml") for p in files if p.startswith(f"{folder}/"))
        if path.endswith("/environment.yaml"):
            there = (p.split("/")[1] for p in files if p.endswith("/environment.yaml"))
        raise UsageError(f"--like {like}: there is no such file to copy", hint=f"there are: {listed(there)}")
    if state_of(source.data) == State.ABSENT:
        raise UsageError(f"--like {like}: that one says state: absent", hint="copy one that is present")
    return source.data


def _free_address(spec: Spec, like: EnvironmentSpec | None, name: str) -> str:
    """The address of the house, or of `like`, on the first port that no other environment listens on."""
    host, _, first = (like.target.listen if like else LISTEN).rpartition(":")
    taken = {int(env.target.listen.rpartition(":")[2]) for env in spec.environments.values() if env.name != name}
    port = next((port for port in range(int(first), 65536) if port not in taken), None)
    if port is None:
        raise UsageError(f"no port from {first} on is free of another environment", hint="name an address: --listen HOST:PORT")
    return f"{host}:{port}"


def _report(environment: str, path: str, sha: str, details: list[str], after: str) -> Report:
    how = f"committed as {sha[:9]}" if sha else "written, not committed"
    return Report(verdict=f"{path}: {how}", data=_data(environment, path, sha), details=details, next=after)


def _data(environment: str, path: str, sha: str) -> dict[str, str]:
    return {"environment": environment, "path": path, "commit": sha}
