"""How fast the command line answers: best of ten, beside the interpreter alone and the project's limits."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from table import Figure, show

ROOT = Path(__file__).resolve().parent.parent
MLRELEASE = str(Path(sys.executable).parent / "mlrelease")


def best(command: list[str], rounds: int) -> float:
    """The fewest wall-clock seconds of `rounds` runs; every run must end with 0."""
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bare = best([sys.executable, "-c", "pass"], options.rounds)
    show_help = best([MLRELEASE, "--help"], options.rounds)
    validate = best([MLRELEASE, "validate", "--offline"], options.rounds)
    show(
        f"answers, best of {options.rounds}",
        [
            Figure("mlrelease --help", show_help, "s", "the limit", 0.25),
            Figure("mlrelease validate --offline", validate, "s", "the limit", 0.6),
            Figure("mlrelease --help", show_help, "s", "python -c pass", bare),
            Figure("mlrelease validate --offline", validate, "s", "python -c pass", bare),
        ],
        out=options.json,
    )


if __name__ == "__main__":
    main()
