"""The wheel, as somebody gets it who has no checkout: built, looked into, installed into an empty environment, run."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from mlrelease.commands.shipped import WORKFLOWS

ROOT = Path(__file__).resolve().parents[2]
VERSION = (ROOT / "VERSION").read_text().strip()

pytestmark = [pytest.mark.xdist_group("wheel"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built by hatchling itself: no network, no isolation, nothing written into the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel):
    """What is in it."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


class Installed:
    """An environment with the wheel and nothing of the checkout; its dependencies are lent by the tests' own."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        venv.create(folder, with_pip=False)
        self.python = folder / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", "--no-index", "--no-deps"]
        subprocess.run([*pip, str(wheel)], check=True, capture_output=True, timeout=120)
        # A path in a .pth is searched last, and the .pth files in it are not obeyed: the editable install stays unknown.
        packages = next(folder.glob("lib/python*/site-packages"))
        (packages / "lent.pth").write_text("\n".join(site.getsitepackages()) + "\n")

    def run(self, *words: str, cwd: Path) -> subprocess.CompletedProcess:
        """One program of the environment, from a folder that is no checkout."""
        environ = {"PATH": f"{self.folder / 'bin'}:/usr/local/bin:/usr/bin:/bin", "HOME": str(cwd), "GIT_CONFIG_NOSYSTEM": "1"}
        program = str(self.folder / "bin" / words[0])
        return subprocess.run(
            [program, *words[1:]], cwd=cwd, env=environ, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory, wheel):
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture
def elsewhere(tmp_path):
    """A home with nothing in it but a git identity."""
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Test\n\temail = test@example.com\n")
    return tmp_path


def test_it_holds_the_package_and_its_metadata_only(names):
    """No tests, benchmarks, documentation or leftovers of running."""
    kept = {name.split("/")[0] for name in names}
    assert kept == {"mlrelease", f"mlrelease-{VERSION}.dist-info"}
    unwanted = re.compile(
        r"(^|/)(tests?|benchmarks|docs|__pycache__|\.[^/]*|conftest\.py|test_[^/]*)(/|$)|\.py[co]$|\.egg-info"
    )
    named = [name.replace("mlrelease/_files/.github/", "mlrelease/_files/") for name in names]
    assert [name for name in named if unwanted.search(name) and not name.endswith(".gitkeep")] == []


def test_every_module_and_every_template_is_in_it(names):
    """What the checkout has, byte for byte, at the place where the program looks for it."""
    wanted = {
        f"mlrelease/{path.relative_to(ROOT / 'scripts' / 'mlrelease')}": path
        for path in (ROOT / "scripts" / "mlrelease").rglob("*.py")
    }
    for folder in ("templates", "environments"):
        wanted |= {f"mlrelease/_files/{path.relative_to(ROOT)}": path for path in (ROOT / folder).rglob("*") if path.is_file()}
    shipped = [*(f"workflows/{name}.yml" for name in WORKFLOWS), "actions/setup-mlrelease/action.yml", "zizmor.yml"]
    wanted |= {f"mlrelease/_files/.github/{path}": ROOT / ".github" / path for path in shipped}
    assert set(wanted) <= set(names)
    assert {name for name in names if name.startswith("mlrelease/")} - set(wanted) == set()


def test_the_files_are_those_of_the_checkout(wheel, names):
    """No build step rewrites one."""
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            if name.startswith("mlrelease/_files/"):
                assert archive.read(name) == (ROOT / name.removeprefix("mlrelease/_files/")).read_bytes(), name


def test_the_record_names_each_file_with_its_hash(wheel, names):
    """Templates included: an installer checks and removes by it."""
    record = f"mlrelease-{VERSION}.dist-info/RECORD"
    with zipfile.ZipFile(wheel) as archive:
        rows = {row[0]: row[1] for row in csv.reader(io.StringIO(archive.read(record).decode()))}
        assert set(rows) == set(names)
        for name in set(names) - {record}:
            digest = base64.urlsafe_b64encode(hashlib.sha256(archive.read(name)).digest()).rstrip(b"=").decode()
            assert rows[name] == f"sha256={digest}"
    assert "mlrelease/_files/templates/schemas/model.v1.json" in rows


def test_the_metadata_says_what_it_is(wheel):
    """Version, licence, the Python it needs, one program; no dependency comes from an address."""
    with zipfile.ZipFile(wheel) as archive:
        folder = f"mlrelease-{VERSION}.dist-info"
        metadata = archive.read(f"{folder}/METADATA").decode()
        entry_points = archive.read(f"{folder}/entry_points.txt").decode()
        licence = archive.read(f"{folder}/licenses/LICENSE")
    head = metadata.partition("\n\n")[0]
    assert f"\nVersion: {VERSION}\n" in head
    assert "\nLicense-Expression: Apache-2.0\n" in head
    assert "\nRequires-Python: >=3.11" in head
    assert entry_points.split() == ["[console_scripts]", "mlrelease", "=", "mlrelease.cli:main"]
    assert licence == (ROOT / "LICENSE").read_bytes()
    required = re.findall(r"^Requires-Dist: (.+)$", head, flags=re.MULTILINE)
    assert len(required) > 10
    assert [line for line in required if "@" in line or "://" in line] == []
    assert str(ROOT) not in metadata


def test_the_program_is_the_wheels_own(installed, elsewhere):
    """Not the checkout's, although the tests' environment has that one."""
    done = installed.run("mlrelease", "--version", cwd=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert VERSION in done.stdout
    code = "import mlrelease.files as f; print(f.__file__, f.bundled('templates'), f.version(), sep='\\n')"
    module, templates, version = installed.run("python", "-c", code, cwd=elsewhere).stdout.splitlines()
    assert Path(module).is_relative_to(installed.folder)
    assert Path(templates).is_relative_to(installed.folder)
    assert version == VERSION


def test_init_and_validate_work_from_the_wheel(installed, elsewhere):
    """Two verbs from nothing to a clean repository, and a finding after a mistake; both without a network."""
    done = installed.run("mlrelease", "init", "repository", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    repository = elsewhere / "repository"
    done = installed.run("mlrelease", "validate", "--offline", cwd=repository)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("0 findings in 1 environment, 1 service, 1 model")
    model = repository / "environments" / "production" / "models" / "wine.yaml"
    model.write_text(model.read_text().replace('version: "1"', "version: latest"))
    done = installed.run("mlrelease", "validate", "--offline", cwd=repository)
    assert done.returncode == 4
    assert "error[version-not-exact]" in done.stderr
    assert "Traceback" not in done.stderr


def test_init_writes_what_the_wheel_brings(installed, elsewhere):
    """The environment and the schemas that its comments name, byte for byte."""
    assert installed.run("mlrelease", "init", "repository", cwd=elsewhere).returncode == 0
    repository = elsewhere / "repository"
    brought = next(installed.folder.glob("lib/python*/site-packages/mlrelease/_files"))
    schemas = {path.name: path.read_bytes() for path in (brought / "templates" / "schemas").iterdir()}
    written = {path.name: path.read_bytes() for path in (repository / "templates" / "schemas").iterdir()}
    assert written == schemas
    for path in (brought / "environments").rglob("*.yaml"):
        copy = repository / path.relative_to(brought)
        named = re.search(r"\$schema=(\S+)", copy.read_text())
        assert named is not None
        assert (copy.parent / named[1]).is_file()


def test_the_schemas_are_those_of_its_own_types(installed, elsewhere):
    """The installed package makes the schemas that it carries."""
    target = elsewhere / "made"
    target.mkdir()
    assert installed.run("python", "-m", "mlrelease.spec.schemas", str(target), cwd=elsewhere).returncode == 0
    assert {path.name: path.read_text() for path in target.iterdir()} == {
        path.name: path.read_text() for path in (ROOT / "templates" / "schemas").iterdir()
    }


def test_help_is_the_same_as_in_the_checkout(installed, elsewhere):
    """Every verb is there; the module's own start works, too."""
    told = [
        subprocess.run(
            [sys.executable, "-m", "mlrelease.cli", "--help"], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
        ).stdout,
        installed.run("mlrelease", "--help", cwd=elsewhere).stdout,
        installed.run("python", "-m", "mlrelease.cli", "--help", cwd=elsewhere).stdout,
    ]
    commands = {re.sub(r"\s+", " ", text[text.index("Commands") :]) for text in told}
    assert len(commands) == 1
