"""A whole real estate on the local GitHub: staging before production, an agent for both, MLflow, runners for workflows."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mlrelease.history.fold import History, fold
from mlrelease.spec.edit import set_model_pin, set_scalar
from support.estate import Estate, free_port
from support.github_server import Hub
from support.runner import Run, Runner

NAME = "acme/models"


@dataclass
class HubEstate(Estate):
    """`production` promotes from `staging` and asks for approvals; its environment on GitHub has the reviewer grace."""

    hub: Hub | None = None
    staged_port: int = field(default_factory=free_port)

    def create(self, *, keep_warm: str = "10m") -> HubEstate:
        super().create(keep_warm=keep_warm)
        production = self.laptop / "environments/production/environment.yaml"
        folder = self.laptop / "environments/staging"
        for kind in ("services", "models"):
            (folder / kind).mkdir(parents=True)
            (folder / kind / "wine.yaml").write_bytes((production.parent / kind / "wine.yaml").read_bytes())
        text = production.read_text()
        staging = text.replace("environment: production", "environment: staging").replace("alias: production", "alias: staging")
        staging = staging.replace(str(self.port), str(self.staged_port)).replace(str(self.state), f"{self.state}g")
        (folder / "environment.yaml").write_text(staging)
        rules = "environment: production\npromotes_from: staging\napproval: required"
        production.write_text(text.replace("environment: production", rules))
        self.commit("Staging before production")
        self.cli("init", "--upgrade")
        self.git("push", "--quiet", "origin", "main")
        self._move()
        self.hub.environment(NAME, "production", reviewers=["grace"])
        self.hub.environment(NAME, "staging")
        self.hub.environment(NAME, "validate")
        return self

    def _move(self) -> None:
        """From the bare folder to the local GitHub: everything there, and both clones know it."""
        url = self.hub.repository(NAME)
        self.git("push", "--quiet", "--mirror", str(self.hub.git_path(NAME)), cwd=self.root / "o.git")
        for clone, login in ((self.laptop, "ann"), (self.host, "agent")):
            token = self.hub.make_token(login)
            self.git("remote", "set-url", "origin", self.hub.git_url(NAME, token=token), cwd=clone)
            self.git("fetch", "--quiet", "origin", cwd=clone)
        assert url == self.hub.git_url(NAME)

    def runner(self, **settings: str) -> Runner:
        """Runners with the registry's address as a variable of the repository."""
        known = {"MLFLOW_TRACKING_URI": self.uri} | settings
        return Runner(self.root / "runs", self.hub.git_path(NAME), self.hub, NAME, settings=known)

    def propose(self, branch: str, message: str, *, user: str = "ann") -> int:
        """What differs in the laptop's work tree, as a pull request; the work tree is back on main after."""
        self.git("checkout", "--quiet", "-B", branch)
        self.git("add", "-A")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        self.git("push", "--quiet", "--force", "origin", branch)
        self.git("checkout", "--quiet", "main")
        return self.hub.open_pull(NAME, head=branch, title=message, user=user)

    def edit(self, environment: str, version: str) -> None:
        """The pin of that version, in the work tree."""
        file = self.laptop / f"environments/{environment}/models/wine.yaml"
        pin = self.pins[version]
        file.write_bytes(set_model_pin(file.read_bytes(), pin.version, pin.digest))

    def spoil(self, environment: str) -> None:
        """A pin whose digest is none, in the work tree."""
        file = self.laptop / f"environments/{environment}/models/wine.yaml"
        file.write_bytes(set_scalar(file.read_bytes(), ("digest",), "sha256:zz"))

    def checked(self, number: int) -> tuple[Run, Run]:
        """Both checks of a pull request, as GitHub starts them when it is opened."""
        runner = self.runner()
        offline = runner.pull_request("validate", number)
        return offline, runner.pull_request("validate-online", number, event="pull_request_target")

    def merged(self, number: int, *, reviewer: str = "bob") -> str:
        """Reviewed and merged by the button; the laptop is up to date after."""
        self.hub.review(NAME, number, reviewer)
        sha = self.hub.merge(NAME, number, user=reviewer)
        self.git("fetch", "--quiet", "origin")
        self.git("reset", "--quiet", "--hard", "origin/main")
        return sha

    def checks(self, number: int) -> dict[str, str]:
        """The checks of a pull request's head by name, with the newest word of each."""
        state = self.hub.state(NAME)
        head = state.pulls[number]["head"]["sha"]
        runs = {run["name"]: run["conclusion"] for run in state.check_runs if run["head_sha"] == head}
        words = {word["context"]: word["state"] for word in state.statuses if word.get("sha") == head}
        return {**words, **runs}

    def past(self, environment: str = "production") -> History:
        return fold(environment, self.site().ledger.read(environment).events)

    def serving(self, port: int = 0) -> str:
        """The version of the answers; empty when nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}/identity", timeout=5) as answer:
                return json.load(answer)["models"][0]["version"]
        except OSError:
            return ""

    @contextmanager
    def agents(self, *, interval: float = 0.5) -> Iterator[subprocess.Popen[bytes]]:
        """One agent of both environments in the host's clone; ended by SIGTERM."""
        with (self.root / "agent.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "mlrelease.cli", "agent", "--interval", str(interval)],
                cwd=self.host, env=self.environ(), stdout=log, stderr=log,
            )  # fmt: skip
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(10)

    def both_down(self) -> None:
        workspace = self.workspace()
        for spec in workspace.desired().spec.environments.values():
            workspace.site(spec).target.down()
        self.down()
