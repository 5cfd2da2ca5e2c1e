"""Requests from another process while a test changes things; what came back, request by request."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlrelease.demo.load import Summary, summarize

ROWS = {
    "dataframe_split": {
        "columns": [
            "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids",
            "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline",
        ],
        "data": [[14.23, 1.71, 2.43, 15.6, 127.0, 2.8, 3.06, 0.28, 2.29, 5.64, 1.04, 3.92, 1065.0]],
    }
}  # fmt: skip


@dataclass
class Load:
    """The running load: `summary()` is complete only after the block."""

    out: Path
    kept: str | None = None

    def lines(self) -> list[str]:
        text = self.kept if self.kept is not None else self.out.read_text() if self.out.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines(keepends=True)

    def newest_version(self) -> str:
        """The version that gave the newest answer."""
        lines = self.lines()
        return json.loads(lines[-1]).get("version", "") if lines else ""

    def summary(self) -> Summary:
        return summarize(self.lines())


@contextmanager
def running_load(url: str, *, rate: float, payload: object = ROWS) -> Iterator[Load]:
    """Open-loop requests at `rate` per second until the block ends; what is in flight then is finished."""
    with tempfile.TemporaryDirectory(prefix="load") as folder:
        asked, out = Path(folder) / "requests.json", Path(folder) / "out.jsonl"
        asked.write_text(json.dumps([{"name": "wine", "url": f"{url}/invocations", "payload": payload}]))
        process = subprocess.Popen(
            [
                sys.executable, "-m", "mlrelease.demo.load", "--requests", str(asked), "--rate", str(rate), "--out", str(out),
            ]
        )  # fmt: skip
        load = Load(out)
        try:
            yield load
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            load.kept = out.read_text() if out.exists() else ""
