"""The scratch folder, and the environment of what runs in it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from mlrelease.demo.crew import Crew, end_group, marked, remembered, sweep
from mlrelease.demo.place import Place, environment, make_place
from mlrelease.demo.server import check_installed
from mlrelease.errors import Error, UsageError

IDLE = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]
STUBBORN = [sys.executable, "-c", "import signal, time; signal.signal(15, print); print('here', flush=True); time.sleep(600)"]


@pytest.fixture
def place():
    """A place of its own, removed with what runs in it."""
    place = make_place("")
    yield place
    sweep(place)
    if place.root.exists():
        place.remove()


def wait_for_line(path: Path) -> None:
    """Comes back when the process has written its first line."""
    import time

    end = time.monotonic() + 20
    while "here" not in path.read_text():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_place_is_new_and_goes_again(place):
    """A temporary folder with three addresses, short enough for unix sockets."""
    assert len({*place.listen.values(), f"127.0.0.1:{place.mlflow_port}"}) == 3
    assert len(str(place.root)) < 80
    place.remove()
    assert not place.root.exists()


def test_a_folder_that_was_there_stays_empty():
    """`--in` an empty folder of the user's gives it back as it was."""
    with tempfile.TemporaryDirectory() as folder:
        make_place(folder).remove()
        assert list(Path(folder).iterdir()) == []


@pytest.mark.parametrize("case", ["full", "long", "file"])
def test_what_is_no_place(case, tmp_path):
    """A folder with files in it, a path too long for sockets, and a file are refused; nothing is left or lost."""
    path = tmp_path / ("x" * 120 if case == "long" else "here")
    if case == "full":
        path.mkdir()
        (path / "mine").write_text("kept")
    if case == "file":
        path.write_text("kept")
    with pytest.raises(UsageError) as raised:
        make_place(str(path))
    assert raised.value.hint
    assert path.exists() == (case != "long")
    if case == "full":
        assert (path / "mine").read_text() == "kept"


def test_processes_see_nobodys_settings(place, monkeypatch):
    """No variable of MLflow, CI or another repository reaches the demo's processes."""
    for name in ("MLFLOW_TRACKING_TOKEN", "GITHUB_ACTIONS", "MLRELEASE_RUN_ID", "GIT_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, "somebody's")
    variables = environment(place, columns=96)
    assert "somebody's" not in variables.values()
    assert variables["TMPDIR"] == str(place.temporary)


def test_git_gets_a_name_only_where_it_has_none(place, monkeypatch, tmp_path):
    """A person's own name stays; a machine without one can commit all the same."""
    assert "GIT_AUTHOR_NAME" not in environment(place, columns=96)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.useConfigOnly")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    (tmp_path / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n[commit]\n\tgpgsign = true\n")
    variables = environment(place, columns=96)
    assert variables["GIT_AUTHOR_NAME"]
    subprocess.run(["git", "init", "--quiet", "."], cwd=place.root, env=variables, check=True)
    subprocess.run(["git", "commit", "--quiet", "--allow-empty", "-m", "x"], cwd=place.root, env=variables, check=True)


def test_a_process_is_ended_with_its_group(place):
    """SIGTERM is enough for most; nothing of it is left."""
    crew = Crew(place, environment(place, columns=96))
    pid = crew.start("idle", IDLE, cwd=place.root)
    wait_for_line(crew.log("idle"))
    assert remembered(place) == {"idle": pid}
    assert [process.pid for process in marked(place)] == [pid]
    crew.end("idle")
    assert marked(place) == []
    assert crew.exit_code("idle") == -15


def test_what_does_not_end_is_killed(place):
    """A process that shrugs at SIGTERM gets SIGKILL when patience ends."""
    crew = Crew(place, environment(place, columns=96))
    crew.start("stubborn", STUBBORN, cwd=place.root)
    wait_for_line(crew.log("stubborn"))
    end_group(crew.started["stubborn"].pid, place, patience_s=0.2)
    assert crew.started["stubborn"].wait(5) == -9


def test_the_sweep_takes_only_what_is_ours(place):
    """A process without our TMPDIR lives on, even one whose command line names the folder."""
    crew = Crew(place, environment(place, columns=96))
    crew.start("idle", IDLE, cwd=place.root)
    with subprocess.Popen([*IDLE, str(place.root)], cwd=place.root, stdout=subprocess.DEVNULL) as other:
        try:
            assert [str(crew.started["idle"].pid) in line for line in sweep(place)] == [True]
            assert other.poll() is None
        finally:
            other.kill()
    assert crew.started["idle"].wait(5) == -15
    assert sweep(place) == []


def test_a_process_that_ended_by_itself_is_named_with_its_last_words(place):
    """What went wrong in the background is said in the foreground."""
    crew = Crew(place, environment(place, columns=96))
    crew.start("broken", [sys.executable, "-c", "import sys; sys.exit('out of wine')"], cwd=place.root)
    crew.started["broken"].wait(20)
    with pytest.raises(Error, match="the cellar ended with 1: out of wine"):
        crew.check("broken", "the cellar")


@pytest.mark.parametrize("module", ["mlflow", "supervisor", "sklearn", "statsmodels"])
def test_what_is_not_installed_is_named_with_the_extra(module):
    """A missing package is one line and the command that brings it."""
    code = f"import sys; sys.modules[{module!r}] = None; from mlrelease.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "demo"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: the demo needs {module}, which is not installed",
        "  try  pip install 'mlrelease[demo]'",
    ]


def test_here_everything_is_installed():
    """The environment of the tests has all that the demo needs."""
    check_installed()


def test_a_place_names_where_things_lie():
    """Addresses and folders follow from the root."""
    place = Place(Path("/tmp/d"), {"staging": "127.0.0.1:1", "production": "127.0.0.1:3"}, 2, made=True)
    assert place.tracking_uri == "http://127.0.0.1:2"
    assert place.url("production", "forecasts", "nile") == "http://127.0.0.1:3/forecasts/models/nile/invocations"
    assert (place.host, place.state("staging")) == (Path("/tmp/d/host"), Path("/tmp/d/staging"))
    assert place.answers("staging") != place.answers("production")
