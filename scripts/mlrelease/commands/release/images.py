"""The image registries' word on a release: whether every digest is still there."""

from __future__ import annotations

from collections.abc import Mapping

from mlrelease.commands.release.proofs import Line, Status
from mlrelease.commands.workspace import Workspace
from mlrelease.errors import Error
from mlrelease.model.bundle import ImagePin
from mlrelease.model.release import ReleasedEnvironment

AT_ONCE = 8


def of_images(workspace: Workspace, released: ReleasedEnvironment) -> list[Line]:
    """One line for each image of the environment; each is asked for once."""
    from mlrelease.registries.concurrently import concurrently  # noqa: PLC0415 - requests costs 0.1 s

    images = {service.image.reference: service.image for service in released.services.values()}
    return concurrently(lambda image: _line(image, workspace.variables), sorted(images.values(), key=_name), workers=AT_ONCE)


def _line(image: ImagePin, variables: Mapping[str, str]) -> Line:
    from mlrelease.registries.docker_config import login  # noqa: PLC0415 - as above
    from mlrelease.registries.oci import OciRegistry, place_of  # noqa: PLC0415 - as above

    try:
        place = place_of(image)
        registry = OciRegistry(place, login(place.host, variables).credentials)
        found = registry.manifest(image.digest)
    except Error as error:
        return Line(image.short, "image", Status.ERRORED, error.message)
    if found is None:
        return Line(image.short, "image", Status.FAILED, f"{registry.where} has no {image.digest}")
    return Line(image.short, "image", Status.PASSED, f"{registry.where} has {image.digest}")


def _name(image: ImagePin) -> str:
    return image.reference
