"""How long `validate --offline` takes for many model files, beside PyYAML alone loading the same files; best of three."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from table import Figure, show

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "environments" / "production"
MLRELEASE = str(Path(sys.executable).parent / "mlrelease")
# the least that any tool would do: walk the folder, read each file, have libyaml's loader make plain values of it
ALONE = """
import os, yaml
for folder, _, names in os.walk("environments"):
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            yaml.load(file, yaml.CSafeLoader)
"""


def estate(folder: Path, models: int, per_service: int) -> None:
    """A repository with so many model files, and as many services as that takes."""
    base = folder / "environments" / "production"
    for name in ("models", "services"):
        (base / name).mkdir(parents=True)
    (base / "environment.yaml").write_bytes((EXAMPLE / "environment.yaml").read_bytes())
    service, model = ((EXAMPLE / name / "wine.yaml").read_text() for name in ("services", "models"))
    for n in range(models):
        owner = f"books-{n // per_service}"
        text = model.replace("service: wine", f"service: {owner}").replace("model: wine", f"model: book-{n}")
        (base / "models" / f"book-{n}.yaml").write_text(text)
        if n % per_service == 0:
            (base / "services" / f"{owner}.yaml").write_text(service.replace("service: wine", f"service: {owner}"))
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)


def measured(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Wall-clock seconds, seconds of CPU and the most memory (MiB) of a command that must end with 0."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def best(command: list[str], folder: Path, rounds: int) -> tuple[float, float, float]:
    """The least of each, over the rounds."""
    taken = [measured(command, folder) for _ in range(rounds)]
    return min(t[0] for t in taken), min(t[1] for t in taken), min(t[2] for t in taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--per-service", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="files") as name:
        folder = Path(name)
        estate(folder, options.models, options.per_service)
        ours = best([MLRELEASE, "validate", "--offline"], folder, options.rounds)
        empty = Path(name) / "empty"
        estate(empty, 1, 1)
        start = best([MLRELEASE, "validate", "--offline"], empty, options.rounds)
        alone = best([sys.executable, "-c", ALONE], folder, options.rounds)
        bare = best([sys.executable, "-c", "import yaml"], folder, options.rounds)
    show(
        f"{options.models} model files, best of {options.rounds}",
        [
            Figure("validate --offline", ours[0], "s", "PyYAML alone", alone[0]),
            Figure("  of CPU", ours[1], "s", "PyYAML alone", alone[1]),
            Figure("  without starting (one file)", ours[0] - start[0], "s", "PyYAML alone", alone[0] - bare[0]),
            Figure("  memory at most", ours[2], "MiB", "PyYAML alone", alone[2]),
            Figure("validate --offline of one file", start[0], "s", "import yaml", bare[0]),
        ],
        out=options.json,
    )


if __name__ == "__main__":
    main()
