"""What a model says it was logged with, beside what is installed here. A difference is a warning, not a reason to refuse.

MLflow asks the same when it loads a model, and lists the files of every installed package for it: 0.3 s of each start.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

_SAVED_WITH = re.compile(r"^    python_version: ['\"]?(\d+\.\d+)", re.MULTILINE)
_COMMENT = re.compile(r"(^|\s)#.*$")


def differences(folder: Path) -> list[str]:
    """Each as `package 2.0 is here, >=3 is asked for`; [] when all is as the model of this folder was logged with.

    Lines that are no requirement of a package (an address, an option, a path) are not looked at.
    """
    return [*_python(_text(folder / "MLmodel")), *_packages(_text(folder / "requirements.txt"))]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _python(mlmodel: str) -> Iterator[str]:
    saved = _SAVED_WITH.search(mlmodel)
    here = ".".join(platform.python_version_tuple()[:2])
    if saved and saved[1] != here:
        yield f"Python {here} is here, {saved[1]} is asked for"


def _packages(requirements: str) -> Iterator[str]:
    for line in requirements.splitlines():
        try:
            asked = Requirement(_COMMENT.sub("", line).strip())
        except InvalidRequirement:
            continue
        if asked.url or (asked.marker and not asked.marker.evaluate()):
            continue
        try:
            here = version(asked.name)
        except PackageNotFoundError:
            yield f"{asked.name} is not here, {asked.specifier or 'any version'} is asked for"
        else:
            if not asked.specifier.contains(here, prereleases=True):
                yield f"{asked.name} {here} is here, {asked.specifier} is asked for"
