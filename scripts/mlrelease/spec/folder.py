"""One environment's folder as found: which files it has, each checked on its own, and the findings so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlrelease.model.finding import Finding
from mlrelease.model.spec import SourceFile
from mlrelease.spec import values
from mlrelease.spec.check import Checked, check
from mlrelease.spec.documents import EnvironmentFile, ModelFile, ServiceFile
from mlrelease.spec.rules import Defect, WrongValueError

ROOT = "environments"
FORMS = "environments/ENV/environment.yaml, environments/ENV/services/SERVICE.yaml or environments/ENV/models/MODEL.yaml"
# neither can be mistaken for a pin
HARMLESS = ("README.md", ".gitkeep")
_PROBLEMS = {
    "symlink": Defect("symlink", "the file is a link", expected="a regular file"),
    "too large": Defect("too-large", "the file is too large", expected="at most 1 MiB"),
}


@dataclass(slots=True)
class Folder:
    """`environments/<name>`. `services` and `models` go by file name; a file that cannot be read at all is None there."""

    name: str
    environment: Checked[EnvironmentFile] | None = None
    services: dict[str, Checked[ServiceFile] | None] = field(default_factory=dict)
    models: dict[str, Checked[ModelFile] | None] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    has_file: bool = False

    @property
    def path(self) -> str:
        """The environment's own file."""
        return f"{ROOT}/{self.name}/environment.yaml"

    def service_path(self, name: str) -> str:
        """A service's file."""
        return f"{ROOT}/{self.name}/services/{name}.yaml"

    def model_path(self, name: str) -> str:
        """A model's file."""
        return f"{ROOT}/{self.name}/models/{name}.yaml"

    def owner(self, model: str) -> str:
        """The service that a model file's findings block: the one it names, if that has a file, else none (the environment)."""
        checked = self.models.get(model)
        said = checked.says("service") if checked else ""
        return said if said in self.services else ""

    def add(self, path: str, source: SourceFile) -> None:
        """Takes in one file of this folder, whatever it is."""
        parts = path.split("/")[2:]
        stem = parts[-1].removesuffix(".yaml")
        match parts:
            case ["environment.yaml"]:
                self.has_file = True
                if self._is_readable(path, source):
                    self.environment = check(EnvironmentFile, source.data, self.name)
                    self._report(path, self.environment.defects, self._name_defects(self.name, values.name))
            case ["services", file] if file == f"{stem}.yaml" and stem:
                self.services[stem] = None
                if self._is_readable(path, source, service=stem):
                    service = check(ServiceFile, source.data, stem)
                    self.services[stem] = service
                    self._report(path, service.defects, self._name_defects(stem, values.name), service=stem, name=stem)
            case ["models", file] if file == f"{stem}.yaml" and stem:
                self.models[stem] = check(ModelFile, source.data, stem) if self._is_readable(path, source) else None
            case _ if source.problem == "symlink":
                self._is_readable(path, source)
            case _ if parts[-1] in HARMLESS:
                pass
            case _:
                self.findings.append(stray(path, self.name))

    def report_models(self) -> None:
        """The findings of the model files, once every service file is known: they say whom a finding blocks."""
        for stem, model in self.models.items():
            if model is not None and (model.document is None or model.defects):
                said = model.says("version")
                self._report(
                    self.model_path(stem),
                    model.defects,
                    self._name_defects(stem, values.model_name),
                    service=self.owner(stem),
                    name=stem,
                    version=said if values.is_exact_version(said) else "VERSION",
                )

    def _is_readable(self, path: str, source: SourceFile, service: str = "") -> bool:
        if not source.problem:
            return True
        defect = _PROBLEMS.get(source.problem) or Defect(
            "unreadable", "the file cannot be read", found=source.problem, expected="a regular file"
        )
        self.findings.append(defect.at(path, environment=self.name, service=service))
        return False

    def _name_defects(self, name: str, judge: values.Judge) -> tuple[Defect, ...]:
        """The name of the file or folder itself, which may be wrong although the same name inside is."""
        try:
            judge(name)
        except WrongValueError as e:
            return (Defect(e.rule, "the name of the file or folder cannot be used", found=name, expected=e.expected),)
        return ()

    def _report(
        self, path: str, defects: tuple[Defect, ...], more: tuple[Defect, ...], *, service: str = "", **known: str
    ) -> None:
        if any(d.rule == "bad-name" for d in defects):
            more = ()  # the same name inside has said it, with a line
        self.findings += [d.at(path, environment=self.name, service=service, **known) for d in (*defects, *more)]


def stray(path: str, environment: str = "") -> Finding:
    """The finding for a file that is none of the three kinds."""
    name = path.rpartition("/")[2]
    fix = f"rename it to {name.removesuffix('.yml')}.yaml" if name.endswith(".yml") else ""
    defect = Defect("wrong-place", "the file is none of the three kinds", found=name, expected=FORMS, fix=fix)
    return defect.at(path, environment=environment)


def linked(path: str) -> Finding:
    """The finding for a link that stands for a whole environment, or for `environments/` itself."""
    return _PROBLEMS["symlink"].at(path)


def outside(path: str) -> Finding:
    """The finding for a path that leaves the folder it begins in."""
    return Defect("wrong-place", "the path leaves its folder", found="..", expected=FORMS).at(path)
