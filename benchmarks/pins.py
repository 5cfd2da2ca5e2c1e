"""10,000 pins against a real MLflow server: facts about all of them, beside a plain loop over the `mlflow` client; then
`validate` over a repository of as many files, 50 of them changed. Each figure in a process of its own, with its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from table import Figure, show

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.mlflow_server import register, running_mlflow  # noqa: E402 - the server of the tests: one way to start one

MODELS = 10_000
VERSIONS = 3
CHANGED = 50
LIMIT_MB, LIMIT_TIMES, LIMIT_CHANGED_S = 500, 10, 120


def pins(count: int) -> list[tuple[str, str]]:
    """Names and versions as in a fleet of forecasts: one model a book, each at one of its few versions."""
    return [(f"forecast-{book:05d}", str(book % VERSIONS + 1)) for book in range(count)]


def filled(folder: Path) -> Path:
    """A server's folder with 30,000 versions and 50 more that have files and metrics; made once, kept in the cache."""
    if (folder / "filled").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    with running_mlflow(folder) as uri:
        measured("fill", uri)
    with sqlite3.connect(folder / "mlflow.db") as database:
        _multiply(database, "registered_models", ("name",), [(name,) for name, _ in pins(MODELS)])
        rows = [(name, version + 1) for name, _ in pins(MODELS) for version in range(VERSIONS)]
        _multiply(database, "model_versions", ("name", "version"), rows)
    (folder / "filled").touch()
    return folder


def fill(_: str, uri: str, __: int) -> float:
    """Registers the fifty that have files, metrics and an example."""
    import mlflow
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression

    mlflow.set_tracking_uri(uri)
    data, target = load_diabetes(as_frame=True, return_X_y=True)
    for number in range(CHANGED):
        with mlflow.start_run():
            mlflow.log_metric("rmse", 50 + number / 10)
            model = LinearRegression().fit(data.iloc[number:], target.iloc[number:])
            register(uri, f"changed-{number:02d}", model, input_example=data.head(5))
    return 0.0


def _multiply(database: sqlite3.Connection, table: str, key: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """Copies the table's first row under other keys: the server's own SQL, but thousands at a time."""
    names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    first = dict(zip(names, database.execute(f"SELECT * FROM {table} LIMIT 1").fetchone(), strict=True))  # noqa: S608 - our own names
    marks = ",".join("?" * len(names))
    copies = ([(first | dict(zip(key, row, strict=True)))[name] for name in names] for row in rows)
    database.executemany(f"INSERT INTO {table} VALUES ({marks})", copies)  # noqa: S608 - the same


def measured(what: str, *arguments: str, home: Path | None = None) -> dict[str, float]:
    """Seconds and MB of this script as a child that does only `what`."""
    command = [sys.executable, __file__, "--child", what, *arguments]
    environment = {**os.environ, "HOME": str(home)} if home else None
    done = subprocess.run(command, capture_output=True, check=False, env=environment, text=True)
    if done.returncode:
        raise SystemExit(f"{what}: {done.stdout}{done.stderr}")
    took = dict(json.loads(done.stdout.splitlines()[-1]))
    print(f"{what} {arguments[-1]}: {took['s']:.1f} s, {took['MB']:.0f} MB", file=sys.stderr)
    return took


def child(what: str, place: str, count: int) -> None:
    """Does one thing and prints what it took, as its last line."""
    seconds = {"client": ask, "ours": ask, "fill": fill, "validate": validate}[what](what, place, count)
    # Not ru_maxrss: that begins with the memory of the process that started this one.
    status = Path("/proc/self/status").read_text()
    peak_kb = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    print(json.dumps({"s": seconds, "MB": peak_kb / 1024}))


def ask(what: str, uri: str, count: int) -> float:
    """Seconds for facts about `count` pins in one of the two ways; imports and the first answer are not counted."""
    if what == "client":
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        import mlflow

        client = mlflow.MlflowClient(uri)
        client.get_model_version(*pins(1)[0])
        began = time.perf_counter()
        found = [client.get_model_version(name, version) for name, version in pins(count)]
    else:
        from mlrelease.registries.connect import connect

        registry = connect(uri, {})
        registry.describe(pins(1))
        began = time.perf_counter()
        found = [facts for facts in registry.describe(pins(count)).values() if facts is not None]
    seconds = time.perf_counter() - began
    assert len(found) == count
    return seconds


def validate(_: str, repository: str, __: int) -> float:
    """Seconds for `mlrelease validate` there, imports and all; its first line goes to stderr."""
    began = time.perf_counter()
    from mlrelease.cli import main as mlrelease

    sys.argv = ["mlrelease", "-C", repository, "--branch", "main", "validate"]
    try:
        mlrelease()
    except SystemExit as e:
        if e.code:
            raise
    return time.perf_counter() - began


def repository(folder: Path, uri: str, count: int) -> None:
    """A repository with `count` pins on its main branch, and a branch where 50 real ones stand beside them."""
    from mlrelease.registries.cache import ArtifactCache
    from mlrelease.registries.connect import connect

    environment = folder / "environments" / "production"
    for name in ("services", "models"):
        (environment / name).mkdir(parents=True)
    head = (
        f"schema: 1\nenvironment: production\ntracking_uri: {uri}\ntarget:\n  kind: local\n  listen: 127.0.0.1:8080\n"
        "gates:\n  - gate: exists\n  - gate: digest\n"
    )
    (environment / "environment.yaml").write_text(head)
    image = "ghcr.io/acme/serve:1@sha256:" + "1" * 64
    (environment / "services" / "books.yaml").write_text(f"schema: 1\nservice: books\n\nimage: {image}\n\nreplicas: 1\n")
    digest = "sha256:" + "2" * 64

    def write(name: str, version: str, of: str, gates: str = "") -> None:
        text = f'schema: 1\nservice: books\nmodel: {name}\n\nversion: "{version}"\ndigest: {of}\n{gates}'
        (environment / "models" / f"{name}.yaml").write_text(text)

    for name, version in pins(count):
        write(name, version, digest)
    git = ["git", "-c", "user.name=b", "-c", "user.email=b@example.com", "-C", str(folder)]
    subprocess.run([*git, "init", "--quiet", "--initial-branch=main"], check=True)
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message=pins"], check=True)
    subprocess.run([*git, "switch", "--quiet", "--create", "change"], check=True)
    registry = connect(uri, {})
    with tempfile.TemporaryDirectory() as cache:
        for number in range(CHANGED):
            key = (f"changed-{number:02d}", "1")
            facts = registry.describe([key])[key]
            assert facts is not None
            gates = "\ngates:\n  - gate: metric\n    metric: rmse\n    max: 100\n  - gate: signature\n"
            write(*key, ArtifactCache(Path(cache)).fetch(facts, registry)[0], gates)
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message=change fifty"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1_000, MODELS])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "mlrelease-benchmarks" / "pins")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, place, *count = options.child
        child(what, place, int(*count))
        return
    figures: list[Figure] = []
    with running_mlflow(filled(options.cache)) as uri:
        for count in options.counts:
            ours, theirs = (measured(what, uri, str(count)) for what in ("ours", "client"))
            figures += [
                Figure(
                    f"{count} pins: facts", ours["s"], "s", f"the client's loop over {LIMIT_TIMES}", theirs["s"] / LIMIT_TIMES
                ),
                Figure(f"{count} pins: facts", ours["s"], "s", "the client's loop", theirs["s"]),
                Figure(f"{count} pins: memory", ours["MB"], "MB", "the limit", LIMIT_MB),
            ]
        for count in options.counts:
            with tempfile.TemporaryDirectory(prefix="pins") as name:
                (home := Path(name) / "home").mkdir()
                repository(folder := Path(name) / "repository", uri, count)
                took = measured("validate", str(folder), home=home)
            figures += [
                Figure(f"{count} pins, {CHANGED} changed: validate", took["s"], "s", "the limit", LIMIT_CHANGED_S),
                Figure(f"{count} pins, {CHANGED} changed: memory", took["MB"], "MB", "the limit", LIMIT_MB),
            ]
    show("pins against one MLflow server with one worker, on SQLite", figures, out=options.json)


if __name__ == "__main__":
    main()
