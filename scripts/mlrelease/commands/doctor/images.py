"""Check of the image registries: they answer, and still have the digests that are pinned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlrelease.commands.doctor.checks import Check, Found, Patient, State, bad, ok, skipped, unknown, warn
from mlrelease.errors import UnavailableError
from mlrelease.http.errors import HttpError
from mlrelease.model.bundle import ImagePin
from mlrelease.model.spec import EnvironmentSpec, TargetKind

_AT_ONCE = 8


def checks(patient: Patient) -> Iterator[Check]:
    """The question about images, per environment."""
    for environment in patient.environments:
        yield Check("image", lambda env=environment: images(patient, env), environment.name, State.UNKNOWN)  # type: ignore[misc]


def images(patient: Patient, environment: EnvironmentSpec) -> Found:
    """Every pinned digest is at its registry. On a target that runs no image they are looked for only when asked for."""
    from mlrelease.registries.concurrently import concurrently  # noqa: PLC0415 - the adapters' imports, not `--help`'s

    pins = sorted({service.image.reference for service in environment.services.values()})
    runs_images = environment.target.kind is not TargetKind.LOCAL
    if not pins:
        return skipped("no service pins an image")
    if not runs_images and not patient.images:
        return skipped("the target local runs no image", "mlrelease doctor --images asks its registry all the same")
    try:
        found = concurrently(lambda pin: _is_there(ImagePin(pin), patient.variables), pins, workers=_AT_ONCE)
    except UnavailableError as error:
        return bad(error.message, error.hint) if runs_images else unknown(error.message, error.hint)
    except HttpError as error:
        return unknown(error.message, error.hint)
    gone = [ImagePin(pin).short for pin, is_there in zip(pins, found, strict=True) if not is_there]
    if not gone:
        return ok(f"{len(pins)} pinned digest{'s are' if len(pins) > 1 else ' is'} at the registry")
    said, fix = f"the registry has no such digest: {', '.join(gone)}", "push it again, or pin another"
    return bad(said, fix) if runs_images else warn(said, fix)


def _is_there(image: ImagePin, variables: Mapping[str, str]) -> bool:
    from mlrelease.registries.docker_config import login  # noqa: PLC0415 - with the adapter
    from mlrelease.registries.oci import OciRegistry, place_of  # noqa: PLC0415 - the same

    place = place_of(image)
    known = login(place.host, variables)
    try:
        return OciRegistry(place, known.credentials).manifest(image.digest) is not None
    except HttpError as error:
        if known.helper:
            error.hint = f"its login is kept by docker-credential-{known.helper}, which is not run: docker pull shows it"
        raise
