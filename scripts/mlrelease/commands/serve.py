"""`serve`: the reference server in the foreground, for what git pins or for a model folder (`MODEL_PATH`)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mlrelease.commands.output import say
from mlrelease.commands.workspace import Workspace, cache_folder, environment_of
from mlrelease.errors import Error, UsageError
from mlrelease.model.live import Artifact
from mlrelease.registries.interface import DigestMismatch


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Where to listen, and the folder that is served instead of the registry's version."""

    listen: str = "127.0.0.1:8000"
    model_path: str = ""
    name: str = "model"
    version: str = "0"
    digest: str = ""


def serve_folder(options: ServeOptions) -> int:
    """Serves an MLflow model folder; returns the server's exit code. Raises `Error` when there is no model in it."""
    from mlrelease.serving.server import serve  # noqa: PLC0415 - fastapi
    from mlrelease.serving.standalone import standalone_config  # noqa: PLC0415

    path = Path(options.model_path)
    if not path.is_dir():
        raise UsageError(
            f"{options.model_path}: no such folder", hint="MODEL_PATH or --model-path names a folder with MLmodel in it"
        )
    config = standalone_config(
        path, name=options.name, version=options.version, digest=options.digest or None, listen=options.listen
    )
    say(f"serving {options.model_path} at {options.listen}")
    return serve(config)


def serve_pinned(workspace: Workspace, environment: str, service: str, options: ServeOptions) -> int:
    """Serves what this work tree pins for a service, from the registry, verified before loading."""
    from mlrelease.registries.cache import ArtifactCache  # noqa: PLC0415
    from mlrelease.serving.config import ServeConfig  # noqa: PLC0415
    from mlrelease.serving.server import serve  # noqa: PLC0415
    from mlrelease.serving.standalone import runtime  # noqa: PLC0415
    from mlrelease.spec.expand import expand  # noqa: PLC0415

    env = environment_of(workspace.worktree_spec(), environment)
    if service not in env.services:
        raise UsageError(f"{environment} has no valid service {service!r}", hint=f"services: {', '.join(sorted(env.services))}")
    bundle = env.services[service].bundle
    registry = workspace.registry(env)
    cache = ArtifactCache(cache_folder(workspace.variables))
    artifacts = []
    for pin in bundle.models:
        path = cache.verified(pin.digest)
        if path is None:
            facts = registry.describe([(pin.name, pin.version)])[pin.name, pin.version]
            if facts is None:
                raise Error(f"{pin.name} has no version {pin.version} at {registry.where}", hint="mlrelease validate")
            try:
                path = cache.ensure(pin, facts, registry)
            except DigestMismatch as error:
                raise Error(
                    f"{pin.name} {pin.version} is not what the pin says: found {error.found}", hint="mlrelease validate"
                ) from error
        artifacts.append(Artifact(pin.name, pin.version, pin.digest, path))
    say(f"serving {service} of {environment} at {options.listen}")
    for name, value in env.services[service].env:
        os.environ[name] = expand(value, workspace.variables)
    return serve(
        ServeConfig(
            service=service,
            bundle=bundle.id,
            image=bundle.image.reference,
            instance=f"{service}-{os.getpid()}",
            runtime=runtime(),
            listen=options.listen,
            models=tuple(artifacts),
        )
    )
