"""The JSON Schemas of the three files and of release records, for editors and other tools, made from the pydantic types.

`python -m mlrelease.spec.schemas DIR` writes them; only that entry touches the disk.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from mlrelease.spec.documents import EnvironmentFile, ModelFile, ServiceFile
from mlrelease.spec.release_file import ReleaseFile

_FILES: dict[str, type[BaseModel]] = {
    "environment.v1.json": EnvironmentFile,
    "service.v1.json": ServiceFile,
    "model.v1.json": ModelFile,
    "release.v1.json": ReleaseFile,
}


def schemas() -> dict[str, str]:
    """File name to text, draft 2020-12, each ended by a newline."""
    return {name: _text(document) for name, document in _FILES.items()}


def _text(document: type[BaseModel]) -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **document.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Writes the schemas into the folder named; 2 without one."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m mlrelease.spec.schemas DIR\n")
        return 2
    for name, text in schemas().items():
        (Path(arguments[0]) / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
