"""Where the files that the package brings along lie: in the checkout, or inside the installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def bundled(name: str) -> Path:
    """The folder `templates` or `environments`. Raises `FileNotFoundError` when the installation is damaged."""
    for base in (_PACKAGE / "_files", _PACKAGE.parent.parent):
        if (base / name).is_dir():
            return base / name
    raise FileNotFoundError(name)


def version() -> str:
    """The version: of the checkout's VERSION file, else of the installed package."""
    checkout = _PACKAGE.parent.parent / "VERSION"
    if checkout.is_file() and _PACKAGE.parent.name == "scripts":
        return checkout.read_text(encoding="utf-8").strip()
    from importlib.metadata import version as installed  # noqa: PLC0415 - 10 ms that only --version pays

    return installed("mlrelease")
