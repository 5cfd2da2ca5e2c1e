"""The runbooks, followed: each trouble is made for real, then the page's commands are typed, and the trouble is over.

One estate for all: an agent that owns production, an MLflow behind a token, versions 1 and 2 of a model verified there.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from mlrelease.spec.edit import set_scalar
from support.estate import Estate, until
from support.mlflow_server import register, running_mlflow
from support.pages import BIN, ROOT, Line, Reader, lines
from support.token_proxy import token_proxy

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("runbooks"), pytest.mark.timeout(600)]

BOOKS = ROOT / "docs" / "runbooks"
FIRST, SECOND = "t0ken-of-old", "t0ken-of-new"


class OnCall(Reader):
    """The reader, with an MLflow that can be lost, moved and given another token."""

    def __init__(self, estate: Estate, upstream: str, servers: ExitStack) -> None:
        variables = {"HOME": str(estate.root), "MLFLOW_TRACKING_TOKEN": FIRST}
        super().__init__(estate.laptop, estate.host, {"production": estate.state}, variables)
        self.estate, self.upstream, self.servers = estate, upstream, servers
        self.tokens = {FIRST}
        self.start_mlflow()

    def start_mlflow(self) -> None:
        """A way to MLflow at a new address, which is written into agent.env."""
        self.variables["MLFLOW_TRACKING_URI"] = self.servers.enter_context(token_proxy(self.upstream, self.tokens))

    def lose_mlflow(self) -> None:
        self.servers.pop_all().close()

    def deploy(self, version: str) -> None:
        """That version pinned and proved, with nothing rejected."""
        self.estate.forgive()
        self.estate.git("pull", "--quiet")
        self.estate.pin(version)
        self.type(Line("", "host", "mlrelease deploy production"))
        assert self.estate.live() == version

    def is_well(self, version: str) -> None:
        """Git, ledger and what answers agree on the version, the agent is at work and nothing is held."""
        assert self.estate.live() == version
        assert (
            self.estate.git("show", "origin/main:environments/production/models/wine.yaml").count(f'version: "{version}"') == 1
        )
        assert not self.estate.history().holds
        assert self.is_watched()


@pytest.fixture(scope="module")
def oncall(tmp_path_factory, mlflow_uri):
    """Version 2 answers, version 1 did before; the agent is at work. A variable names its MLflow, as the pages have it."""
    home = tmp_path_factory.mktemp("rb")
    estate = Estate(home, mlflow_uri).create()
    file = estate.laptop / "environments/production/environment.yaml"
    file.write_bytes(set_scalar(file.read_bytes(), ("tracking_uri",), "${MLFLOW_TRACKING_URI}"))
    estate.commit("Name MLflow by a variable")
    estate.git("pull", "--quiet", cwd=estate.host)
    with ExitStack() as servers:
        reader = OnCall(estate, mlflow_uri, servers)
        # what estate.cli and estate.site run gets the same variables
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(estate, "environ", lambda: {**Estate.environ(estate), **reader.variables}, raising=True)
            for version in ("1", "2"):
                reader.deploy(version)
            reader.systemctl("start")
            yield reader
            reader.systemctl("stop")
            estate.down()


@pytest.fixture(autouse=True)
def _variables(oncall, monkeypatch):
    """The test's own looks into the estate ask with the same variables."""
    for name, value in oncall.variables.items():
        monkeypatch.setenv(name, value)


def test_roll_back(oncall):
    """Version 2 is bad: one command, and version 1 is proved; the bump to 2 is refused until somebody says why not."""
    oncall.deploy("2")
    said = oncall.follow(BOOKS / "roll-back.md")
    oncall.is_well("1")
    assert "rejected" in said["mlrelease bump production wine --to 2"]
    assert "wine 2" in said["mlrelease status production"], "the first look saw the trouble"
    assert "rollback" in said["mlrelease history production --service wine --limit 1"]


def test_a_deploy_failed(oncall):
    """A version that answers differently each time fails its verification: 6, and git is made true again."""
    from sklearn.datasets import load_wine
    from sklearn.dummy import DummyClassifier

    oncall.deploy("1")
    oncall.systemctl("stop")
    rows, classes = load_wine(return_X_y=True, as_frame=True)
    fickle = register(
        oncall.upstream, "wine", DummyClassifier(strategy="uniform").fit(rows, classes), input_example=rows.head(40)
    )
    oncall.estate.cli("bump", "production", "wine", "--to", fickle.version, "--push")
    oncall.estate.cli("deploy", "production", cwd=oncall.estate.host, expect=6)
    assert oncall.estate.live() == "1"
    oncall.systemctl("start")
    said = oncall.follow(BOOKS / "deploy-failed.md")
    oncall.is_well("1")
    assert "rolled_back" in said["mlrelease history production --service wine --limit 3"]
    assert "OutOfSync" in said["mlrelease status production"]


def test_drift(oncall):
    """Somebody stopped the agent and edited the route of the proxy: it has its line, and one pass mends it."""
    oncall.deploy("1")
    oncall.systemctl("stop")
    estate = oncall.estate
    route = estate.state / "xds" / "rds.json"
    staged = estate.state / "hand.json"
    staged.write_text(route.read_text().replace('"version_info": "', '"version_info": "hand-', 1))
    staged.replace(route)
    until(lambda: estate.state_of()["sync"] == "Drifted", what="drift")
    said = oncall.follow(BOOKS / "drift.md")
    oncall.is_well("1")
    assert "Drifted" in said["mlrelease status production"]
    assert "repair" in said["mlrelease history production --service wine --limit 2"]


def test_the_registry_is_lost(oncall):
    """MLflow goes away and comes back at another address: what serves serves, and the way back stays open."""
    oncall.deploy("1")
    oncall.deploy("2")
    bumped = oncall.estate.git("rev-parse", "HEAD")
    oncall.lose_mlflow()
    restart = "sudo systemctl restart mlrelease-agent"
    said = oncall.follow(BOOKS / "lost-registry.md", {restart: oncall.start_mlflow})
    oncall.is_well("2")
    assert "did not answer" in said["mlrelease doctor production"] or "MLflow" in said["mlrelease doctor production"]
    assert "back to wine 1" in said["mlrelease rollback production --service wine --to 1 --no-push"]
    assert oncall.estate.git("ls-remote", "origin", "main").split()[0] == bumped, "the trial moved nothing"


def test_the_machine_is_lost(oncall):
    """All processes killed, the state and the clone gone: a new clone brings back what was recorded, by one repair."""
    oncall.deploy("2")
    estate = oncall.estate
    events = len(estate.history().verified["wine"])
    oncall.kill()
    shutil.rmtree(estate.state)
    shutil.rmtree(estate.host)
    estate.git("clone", "--quiet", "o.git", "host", cwd=estate.root)
    said = oncall.follow(BOOKS / "lost-machine.md")
    oncall.is_well("2")
    assert "repair" in said["mlrelease history production --limit 1"]
    assert len(estate.history().verified["wine"]) >= events, "the new host goes on with the old history"


def test_secrets_are_rotated(oncall):
    """The new token beside the old, then the old one ended: nothing stops serving, and the old one is refused."""
    oncall.deploy("1")
    oncall.tokens.add(SECOND)
    restarts = []

    def new_token() -> None:
        oncall.variables["MLFLOW_TRACKING_TOKEN"] = SECOND
        restarts.append("asked")

    def end_the_old() -> None:
        oncall.tokens.discard(FIRST)

    said = oncall.follow(
        BOOKS / "rotate-secrets.md",
        {"sudo systemctl restart mlrelease-agent": new_token, "mlrelease validate": end_the_old},
    )
    oncall.is_well("1")
    assert restarts == ["asked"]
    assert "MLFLOW_TRACKING_TOKEN" in said["MLFLOW_TRACKING_TOKEN=the-old-one mlrelease validate"]
    assert not any(token in text for text in said.values() for token in (FIRST, SECOND)), "no token is shown"


def test_the_first_hour(oncall):
    """Looking changes nothing, the hold stops what moves forward, and at the end nothing is left of it."""
    oncall.deploy("1")
    events = len(oncall.estate.site().ledger.read("production").events)
    said = oncall.follow(BOOKS / "first-hour.md", section="First look")
    assert len(oncall.estate.site().ledger.read("production").events) == events
    assert "in sync" in said["mlrelease status"]
    oncall.follow(BOOKS / "first-hour.md", section="Do")
    assert oncall.estate.history().holds
    oncall.follow(BOOKS / "first-hour.md", section="Verify")
    oncall.is_well("1")


def test_the_registry_is_gone_for_good(oncall, tmp_path):
    """A new, empty MLflow: the running bytes are registered from the host's cache, and nothing is served anew by it."""
    oncall.deploy("2")
    before = oncall.estate.state_of()
    oncall.lose_mlflow()
    was, oncall.tokens = oncall.upstream, {SECOND}
    with running_mlflow(tmp_path / "mlflow") as oncall.upstream:
        oncall.variables["MLFLOW_TRACKING_TOKEN"] = SECOND
        oncall.start_mlflow()
        oncall.systemctl("restart")
        oncall.replaced = {"/var/lib/mlrelease/production": str(oncall.estate.state), "/opt/mlrelease/bin": str(BIN)}
        oncall.follow(BOOKS / "registry-gone.md")
        oncall.is_well("1")
        after = oncall.estate.state_of()
        assert after["after"]["id"] == before["after"]["id"], "the same bundle: the same bytes"
        assert after["after"]["models"] != before["after"]["models"], "under another number"
    oncall.upstream = was


def test_every_runbook_is_followed_here():
    """A page without a test above would be a promise that nobody keeps."""
    text = Path(__file__).read_text(encoding="utf-8")
    pages = [page for page in BOOKS.glob("*.md") if lines(page)]
    assert [page.name for page in pages if f'BOOKS / "{page.name}"' not in text] == []
    assert len(pages) == 8
