"""Breaking what runs: an interrupted deploy, two at once, an agent in the way, a taken port, a full disk, a closed pipe.

One real estate for all; after each test version 1 is what git wants and what answers.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.broken import Ran, run
from support.estate import Estate, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("broken-deployments")]


@pytest.fixture(scope="module")
def estate(tmp_path_factory, mlflow_uri):
    """Version 1 deployed."""
    estate = Estate(tmp_path_factory.mktemp("bd"), mlflow_uri).create()
    estate.cli("deploy", "production", cwd=estate.host)
    yield estate
    estate.down()


@pytest.fixture
def at_one(estate) -> Iterator[Estate]:
    """The estate with version 1 answering, before and after, and no hand-over file left in the state folder."""
    assert estate.live() == "1"
    estate.forgive()
    yield estate
    if 'version: "1"' not in estate.git("show", "origin/main:environments/production/models/wine.yaml"):
        estate.pin("1")
    assert run("deploy", "production", cwd=estate.host, environ=estate.environ()).code == 0
    assert estate.live() == "1"
    assert not list((estate.state / "requests").glob("*"))
    assert estate.git("status", "--porcelain", cwd=estate.host) == ""


def _go(estate: Estate, *arguments: str, folder: Path | None = None, **more: object) -> Ran:
    return run(*arguments, cwd=folder or estate.host, environ=estate.environ(), **more)


def _begin(estate: Estate, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mlrelease.cli", *arguments],
        cwd=estate.host, env=estate.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [("validate",), ("plan", "production"), ("deploy", "production"), ("reconcile",), ("reconcile", "--check"), ("status",),
     ("history", "production"), ("bump", "production", "wine", "--to", "1"), ("logs", "production", "wine"),
     ("predict", "production", "wine")],
    ids=" ".join,
)  # fmt: skip
def test_json_of_every_verb(arguments, estate):
    """Stdout holds one JSON document of schema 1 and nothing else; without `-o json` the first line is the verdict in it."""
    data = _go(estate, "--output", "json", *arguments).json()
    assert data["exit_code"] == 0
    assert _go(estate, *arguments).first == data["verdict"]


@pytest.mark.parametrize(
    ("arguments", "code", "says", "hint"),
    [
        (("bump", "production", "wine", "--to", "99"), 1, "wine has no version 99", "newest first: 2, 1"),
        (("bump", "production", "wine", "--to", "latest"), 1, "wine has no version latest", "newest first: 2, 1"),
        (("bump", "production", "wine", "--to", "\x1b[31m/../.."), 1, r"wine has no version \x1b[31m/../..", "newest first"),
        (("bump", "production", "nosuch"), 1, "production has no model 'nosuch'", "models there: wine"),
        (("rollback", "production", "--to", "9"), 1, "wine version 9 was never verified", "verified there"),
        (("rollback", "production", "--service", "nosuch"), 2, "no valid service 'nosuch'", "services there: wine"),
        (("rollback", "production", "--model", "nosuch"), 1, "no model 'nosuch'", "models there: wine"),
        (("logs", "production", "../../etc"), 1, "no instance of '../../etc'", "services here: wine"),
        (("predict", "production", "nosuch"), 1, "'nosuch' was never deployed", "mlrelease status"),
        (("predict", "production", "wine", "--model", "x"), 2, "wine has no model 'x'", "models there: wine"),
        (("predict", "production", "wine", "--data", "{"), 2, "--data is not JSON", "--data"),
        (("predict", "production", "wine", "--data", "@/nonexistent"), 2, "/nonexistent cannot be read", "@FILE"),
        (("predict", "production", "wine", "--data", "@/dev/null"), 2, "/dev/null is not JSON", "--data"),
        (("serve", "production", "nosuch"), 2, "no valid service 'nosuch'", "services: wine"),
        (("serve", "production", "wine", "--listen", "nonsense"), 1, "nonsense", "127.0.0.1"),
        (("down", "staging"), 2, "there is no environment 'staging'", "production"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_not_there(arguments, code, says, hint, estate):
    """A version, model, service or file that is not there is named, and so is what is."""
    ran = _go(estate, *arguments)
    assert ran.code == code, ran.text
    assert says in ran.told[0], ran.text
    assert hint in ran.told[1], ran.text


def test_a_model_that_is_not_registered(estate, tmp_path):
    """A pin of a model that MLflow does not know is blocked by its gate, with its name."""
    with _copy(estate, tmp_path) as copy:
        models = copy / "environments/production/models"
        text = (models / "wine.yaml").read_text().replace("model: wine", "model: grape")
        (models / "grape.yaml").write_text(text)
        (models / "wine.yaml").unlink()
        _commit(copy)
        for arguments, code in ((("validate",), 5), (("plan", "production"), 5), (("bump", "production", "grape"), 1)):
            ran = _go(estate, *arguments, folder=copy)
            assert ran.code == code, ran.text
            assert "grape" in ran.out + ran.err


@pytest.mark.parametrize("step", ["artifacts", "switch"])
def test_interrupted(step, at_one):
    """Ctrl-C after a step: 130, what served serves or the new bundle does, nothing is locked, the next deploy goes on."""
    at_one.pin("2")
    process = _begin(at_one, "deploy", "production")
    for line in process.stderr:
        if f"{step} done" in line:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in out + err
    assert "error: interrupted" in err
    assert at_one.live() == "1" if step != "switch" else at_one.live() in "12"
    ran = _go(at_one, "deploy", "production", limit_s=60)
    assert ran.code == 0, ran.text
    assert "locked" not in ran.err
    assert at_one.live() == "2"
    service = at_one.state_of()
    assert {i["bundle"] for i in service["instances"] if i["role"] == "active"} == {service["after"]["id"]}
    assert "unfinished" not in _go(at_one, "history", "production").out


def test_two_at_once(at_one):
    """One of two deploys does the work, the other waits for it; both end with 0 and no event is lost."""
    at_one.pin("2")
    both = [_begin(at_one, "deploy", "production") for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, (out, err)
        assert "Traceback" not in out + err
        assert "did not answer" not in err, "two fetches in one clone are not an outage"
    assert at_one.live() == "2"
    history = _go(at_one, "--output", "json", "history", "production").json()
    assert history["broken"] == ""


@pytest.mark.parametrize("redirect", ["2>&1 | head -1", ">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_nobody_reads_a_deploy(redirect, at_one):
    """A reader who goes away midway does not end the rollout midway."""
    at_one.pin("2")
    command = f"{sys.executable} -m mlrelease.cli deploy production {redirect}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=at_one.host, env=at_one.environ(), capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert at_one.live() == "2", done
    assert _go(at_one, "reconcile", "--check").code == 0


def test_an_agent_in_the_way(at_one):
    """`deploy` is handed over, `down` and a second agent are refused by pid, and the end of the agent gives it all back."""
    with at_one.agent(interval=60) as agent:
        lock = at_one.state / "agent.lock"
        until(lambda: lock.is_file() and lock.read_text() == str(agent.pid), what="the agent's claim")
        at_one.pin("2")
        ran = _go(at_one, "--output", "json", "deploy", "production", limit_s=60)
        assert ran.json()["exit_code"] == 0
        assert f"the agent (pid {agent.pid}) owns production" in ran.err
        assert at_one.live() == "2"
        for arguments in (("down", "production"), ("agent", "production"), ("reconcile", "--watch")):
            ran = _go(at_one, *arguments)
            assert ran.code == 1, ran.text
            assert str(agent.pid) in ran.told[0], ran.text
            assert ran.told[1].startswith("  try  ")
        (at_one.state / "requests" / "broken.json").write_text("{ not json")
        assert _go(at_one, "deploy", "production").code == 0
    assert agent.returncode == 0


# -- a copy of the estate, whose target cannot do its work ---------------------------------------------------------------


class _copy:  # noqa: N801 - reads as a function
    """A clone with a remote of its own, the same ledger, and the target elsewhere: what is recorded does not run there."""

    def __init__(self, estate: Estate, root: Path, *, listen: str = "", state: Path | None = None) -> None:
        self._estate, self._root = estate, root
        self._listen, self._state = listen, state or root / "st"

    def __enter__(self) -> Path:
        shutil.copytree(self._estate.root / "o.git", self._root / "o.git")
        folder = self._root / "lap"
        subprocess.run(["git", "clone", "--quiet", "o.git", "lap"], cwd=self._root, env=self._estate.environ(), check=True)
        file = folder / "environments/production/environment.yaml"
        text = file.read_text().replace(str(self._estate.state), str(self._state))
        file.write_text(text.replace(f"127.0.0.1:{self._estate.port}", self._listen) if self._listen else text)
        _commit(folder)
        return folder

    def __exit__(self, *_exception: object) -> None:
        done = self._estate.cli("down", "production", cwd=self._root / "lap", expect=None)
        assert done.returncode in (0, 1), done.stderr
        import psutil

        mine = str(self._root)
        left = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if any(mine in a for a in p.info["cmdline"] or ())]
        assert left == []


def _commit(folder: Path) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=t@example.com")
    for words in (
        ("add", "-A"),
        (*identity, "commit", "--quiet", "--allow-empty", "-m", "x"),
        ("push", "--quiet", "origin", "main"),
    ):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def _refused(ran: Ran, words: Sequence[str]) -> None:
    assert ran.code == 1, ran.text
    for word in words:
        assert word in ran.out + ran.err, ran.text


def test_a_port_that_is_taken(estate, tmp_path):
    """Address and process are named; the estate that was there before goes on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with _copy(estate, tmp_path, listen=listen) as copy:
            _refused(_go(estate, "deploy", "production", folder=copy), (listen, f"process {os.getpid()}"))
    assert estate.live() == "1"


def test_a_port_of_another_environment(estate, tmp_path):
    """A second environment on the port of one that runs is refused: two proxies would share its traffic in silence."""
    with _copy(estate, tmp_path) as copy:
        _refused(_go(estate, "deploy", "production", folder=copy), (f"127.0.0.1:{estate.port}", "process "))
    assert estate.live() == "1"


def test_a_disk_that_is_full(estate, tmp_path):
    """A state folder without space: every verb says so in one line, and the deploy after making room succeeds."""
    if os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted by root")
    state = tmp_path / "st"
    state.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(state)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs here: {mounted.stderr.strip()}")
    try:
        with _copy(estate, tmp_path, listen=f"127.0.0.1:{_free()}") as copy:
            (state / "filler").write_bytes(b"x" * 52 * 1024)
            _refused(_go(estate, "deploy", "production", folder=copy, limit_s=60), ("No space left",))
            for verb in ("status", "plan", "down"):
                ran = _go(estate, verb, *(["production"] if verb != "status" else []), folder=copy)
                assert ran.code in (0, 1), ran.text
    finally:
        subprocess.run(["umount", "--lazy", str(state)], check=True)


def test_files_that_may_not_grow(estate, tmp_path):
    """A limit on file sizes is said like a full disk, not by a signal."""
    with _copy(estate, tmp_path, listen=f"127.0.0.1:{_free()}") as copy:
        ran = _go(estate, "deploy", "production", folder=copy, largest_file=512, limit_s=60)
        assert ran.code == 1, ran.text


def test_a_state_folder_that_is_read_only(estate, tmp_path):
    """A state folder that nobody may write into is named."""
    state = tmp_path / "st"
    state.mkdir(mode=0o500)
    with _copy(estate, tmp_path, listen=f"127.0.0.1:{_free()}") as copy:
        ran = _go(estate, "deploy", "production", folder=copy, powerless=True)
        _refused(ran, (str(state), "Permission denied"))
        ran = _go(estate, "agent", folder=copy, powerless=True)
        _refused(ran, (str(state), "Permission denied"))


def test_a_state_folder_that_is_a_file(estate, tmp_path):
    """What lies where the state folder should be is named."""
    (tmp_path / "st").touch()
    with _copy(estate, tmp_path, listen=f"127.0.0.1:{_free()}") as copy:
        _refused(_go(estate, "deploy", "production", folder=copy), (str(tmp_path / "st"),))


def test_a_tampered_ledger(estate, tmp_path):
    """A changed event breaks the chain: nothing acts on it, `history` still shows it and says so."""
    with _copy(estate, tmp_path, listen=f"127.0.0.1:{_free()}") as copy:
        vandal = tmp_path / "vandal"
        subprocess.run(
            ["git", "clone", "--quiet", "--branch", "mlrelease/ledger", "o.git", str(vandal)], cwd=tmp_path, check=True
        )
        event = min((vandal / "production/events").iterdir())
        event.write_text(event.read_text().replace('"actor": "', '"actor": "\\u001b[31mmallory '))
        _commit_ledger(vandal)
        for verb in ("plan", "deploy", "status"):
            ran = _go(estate, verb, *(["production"] if verb != "status" else []), folder=copy)
            _refused(ran, ("does not hold together",))
            assert ran.told[1].startswith("  try  ")
        ran = _go(estate, "history", "production", folder=copy)
        assert (ran.code, ran.first.endswith("chain BROKEN")) == (1, True), ran.text


def _commit_ledger(folder: Path) -> None:
    identity = ("-c", "user.name=Mallory", "-c", "user.email=m@example.com")
    subprocess.run(["git", *identity, "commit", "--quiet", "-am", "nothing to see"], cwd=folder, check=True)
    subprocess.run(["git", "push", "--quiet", "origin", "HEAD:mlrelease/ledger"], cwd=folder, check=True)


def _free() -> int:
    from support.estate import free_port

    return free_port()
