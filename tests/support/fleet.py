"""A fleet: many small models, over one service or many, in a world of real git, ledger and cache with a fake target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlrelease.model.bundle import ModelPin
from mlrelease.spec.edit import set_model_pin
from mlrelease.targets.local.target import LocalTarget
from support.estate import SCAN
from support.fake_registry import pin_of
from support.local_target import end_all, free_port
from support.served import save_code
from support.world import ENVIRONMENT, SERVICE, World, git

FLEET_MODEL = """\
schema: 1
service: {service}
model: {model}

version: "{version}"
digest: {digest}
"""


MARK = b"@ANSWER@"

TINY = """
ANSWER = @ANSWER@

def predict(self, context, model_input):
    return [self.ANSWER] * len(model_input)
"""


def tiny_model(folder: Path) -> dict[str, bytes]:
    """The files of a real MLflow model (loaded in 6 ms) that answers a constant; `MARK` stands where that constant goes."""
    body = TINY.replace("@ANSWER@", "41.0")
    root = save_code(folder / "model", body)
    files = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    files["serving_input_example.json"] = b'{"inputs": [[1.0]]}'
    files["MLmodel"] += b"saved_input_example_info: {serving_input_path: serving_input_example.json, type: ndarray}\n"
    return {path: data.replace(b"ANSWER = 41.0", b"ANSWER = " + MARK) for path, data in files.items()}


@contextmanager
def real_target(root: Path) -> Iterator[tuple[LocalTarget, int]]:
    """The target `local` with the reference server, and its port; nothing of it lives on."""
    port = free_port()
    target = LocalTarget("production", f"127.0.0.1:{port}", root / "t")
    try:
        yield target, port
    finally:
        target.down()
        end_all(root)


@dataclass
class FleetWorld(World):
    """`per_service` models in each of the services, named `<service>-0000` and so on.

    `files` are those of a version, with `MARK` for what tells versions apart; made up unless given.
    """

    per_service: int = 1
    files: Mapping[str, bytes] = field(default_factory=lambda: {"MLmodel": b"flavors: {}\n", "model.bin": MARK})
    replicas: int = 2
    with_goldens: bool = True

    def models(self) -> dict[str, str]:
        """Model name to its service."""
        return {f"{service}-{n:04}": service for service in self.services for n in range(self.per_service)}

    def create(self) -> FleetWorld:
        """The repository with version 1 of every model pinned, pushed; two versions of each with their golden predictions."""
        self.root.mkdir(parents=True, exist_ok=True)
        git(self.root, "init", "--quiet", "--initial-branch=main", "laptop")
        git(self.root, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
        git(self.laptop, "remote", "add", "origin", "../origin.git")
        base = self.laptop / "environments" / "production"
        for folder in ("services", "models"):
            (base / folder).mkdir(parents=True)
        (base / "environment.yaml").write_text(ENVIRONMENT + (SCAN if "model.py" in self.files else ""))
        for name in self.services:
            text = SERVICE.format(name=name, image="ab12" * 16).replace("replicas: 2", f"replicas: {self.replicas}")
            (base / "services" / f"{name}.yaml").write_text(text)
        self._register()
        for model, service in self.models().items():
            pin = self.pins[model, "1"]
            text = FLEET_MODEL.format(service=service, model=model, version="1", digest=pin.digest)
            self.model_file(model).write_text(text)
        self.commit("Start")
        git(self.laptop, "push", "--quiet", "-u", "origin", "main")
        git(self.root, "clone", "--quiet", "origin.git", "host")
        if self.with_goldens:
            self.site().ledger.put_goldens([(pin.digest, golden(pin)) for pin in self.pins.values()])
        return self

    def move(self, models: list[str], version: str) -> str:
        """One commit that pins this version of these models; pushed."""
        for model in models:
            pin, path = self.pins[model, version], self.model_file(model)
            path.write_bytes(set_model_pin(path.read_bytes(), pin.version, pin.digest))
        return self.commit(f"Pin version {version} of {len(models)} models")

    def replace(self, model: str, version: str, files: Mapping[str, bytes], *, known: bool = True) -> None:
        """Registers other files for a version that nobody has pinned yet; `known`: its golden predictions are in the ledger."""
        expected = golden(self.pins[model, version])
        self.registry.add(model, version, files)
        pin = pin_of(model, version, files, self.root / "scratch" / f"{model}-{version}-other")
        self.pins[model, version] = pin
        if known:
            self.site().ledger.put_golden(pin.digest, expected)

    def _register(self) -> None:
        for model in self.models():
            number = int(model.rpartition("-")[2])
            for version in ("1", "2"):
                value = repr(answer_of(number, version)).encode()
                files = {path: data.replace(MARK, value) for path, data in self.files.items()}
                self.registry.add(model, version, files)
                self.pins[model, version] = pin_of(model, version, files, self.root / "scratch" / f"{model}-{version}")


def answer_of(number: int, version: str) -> float:
    """What the model of this number answers: another value for each version of each model."""
    return number + int(version) / 10


def golden(pin: ModelPin) -> dict[str, object]:
    """The golden predictions of a version, for one row."""
    number = int(pin.name.rpartition("-")[2])
    return {"schema": 1, "payload": {"inputs": [[1.0]]}, "predictions": [answer_of(number, pin.version)]}
