"""Plays GitHub's runner: one event of a bare repository, its workflow executed by act on this machine, everything wiped after.

What is real: the workflow files, their expressions, jobs, outputs and needs, the steps' shells, git, mlrelease. What is
played: GitHub's own actions (`support/actions`), the API (the local server), and what act does not do: which commit's
workflow an event takes, secrets by environment, the review that an environment asks for (the job is held at its first step
until the test says that it was given), the end of a job's processes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml
from support.github_server import Hub
from support.runner_log import Run, read

ROOT = Path(__file__).resolve().parents[2]
ACT = Path(sys.executable).with_name("act")
ACTIONS = Path(__file__).with_name("actions")
ENDED_S = 10.0
LONGEST_S = 180.0
_USES = re.compile(r"uses:\s*(actions/[a-z-]+)@([0-9a-f]{40})")


@dataclass
class Runner:
    """The runners of one repository: `repository` is its bare folder, `hub` the local GitHub, without one there is no API."""

    root: Path
    repository: Path
    hub: Hub | None = None
    name: str = "acme/models"
    settings: dict[str, str] = field(default_factory=dict)
    """Repository variables (`vars.…`)."""
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    """Secrets by environment; those of "" are the repository's."""
    unmasked: bool = False
    """Whether secrets are printed as they are where GitHub and act print stars: a leak shows then."""
    counter: int = 0

    def push(self, workflow: str, *, branch: str = "main", **more) -> Run:
        sha = self.git("rev-parse", f"refs/heads/{branch}")
        payload = {"ref": f"refs/heads/{branch}", "after": sha}
        return self.run("push", workflow, payload, ref=f"refs/heads/{branch}", **more)

    def dispatch(self, workflow: str, *, branch: str = "main", actor: str = "ada", **inputs: str) -> Run:
        payload = {"inputs": inputs, "ref": f"refs/heads/{branch}"}
        return self.run("workflow_dispatch", workflow, payload, ref=f"refs/heads/{branch}", actor=actor)

    def repository_dispatch(self, workflow: str, event_type: str, **client_payload: str) -> Run:
        payload = {"action": event_type, "client_payload": client_payload}
        return self.run("repository_dispatch", workflow, payload, ref="refs/heads/main")

    def schedule(self, workflow: str) -> Run:
        return self.run("schedule", workflow, {"schedule": "13 * * * *"}, ref="refs/heads/main")

    def pull_request(
        self,
        workflow: str,
        number: int,
        *,
        base: str = "main",
        fork: str = "",
        event: str = "pull_request",
        branch: str = "topic",
        more: Mapping[str, str] | None = None,
    ) -> Run:
        """The head is `refs/pull/N/head`. Of `pull_request` GitHub runs the proposal's own file, of `…_target` the base's."""
        head = self.git("rev-parse", f"refs/pull/{number}/head")
        tip = self.git("rev-parse", f"refs/heads/{base}")
        full_name = f"{fork}/models" if fork else self.name
        payload = {
            "action": "synchronize",
            "number": number,
            "pull_request": {
                "number": number,
                "head": {"sha": head, "ref": branch, "repo": {"full_name": full_name, "fork": bool(fork)}},
                "base": {"sha": tip, "ref": base, "repo": {"full_name": self.name}},
            },
        }
        own = event == "pull_request"
        ref = f"refs/pull/{number}/merge" if own else f"refs/heads/{base}"
        at = head if own else tip
        extra = {"GITHUB_BASE_REF": base, "GITHUB_HEAD_REF": branch, **(more or {})}
        return self.run(event, workflow, payload, ref=ref, at=at, secrets=not (fork and own), extra=extra)

    def run(
        self,
        event: str,
        workflow: str,
        payload: Mapping[str, object],
        *,
        ref: str,
        at: str = "",
        actor: str = "ada",
        secrets: bool = True,
        extra: Mapping[str, str] | None = None,
        while_held: Callable[[str, int], None] | None = None,
        run_id: int = 0,
    ) -> Run:
        """One run of `workflow` (its file's name without end) as of the commit `at`, or of `ref`. Ends what it leaves.

        `while_held` is called with the id of a job whose environment waits for a review, and that of the run, and is the
        reviewer: when it comes back, the job goes on.
        """
        self.counter += 1
        mark = f"github_{uuid.uuid4()}"
        place = self.root / mark[7:15]
        work, cache, gates, artifacts, home = (place / n for n in ("w", "c", "gates", "artifacts", "home"))
        for folder in (cache, gates, artifacts, home):
            folder.mkdir(parents=True)
        _git("clone", "--quiet", "--no-checkout", str(self.repository), str(work))
        at = at or self.git("rev-parse", ref)
        _git("fetch", "--quiet", "origin", at, cwd=work)
        _git("checkout", "--quiet", "--detach", at, cwd=work)
        file = work / ".github" / "workflows" / f"{workflow}.yml"
        if not file.is_file():
            shutil.rmtree(place)
            raise LookupError(f"there is no workflow {workflow} at {at}")
        content = yaml.safe_load(file.read_text())
        full = {"repository": {"full_name": self.name, "default_branch": "main"}, "sender": {"login": actor}, **payload}
        (place / "event.json").write_text(json.dumps(full))
        for job in self._protected(content):
            (gates / f"{job}.held").touch()
        token = self._token(content, trusted=secrets)
        words = self._words(event, file, place, content, secrets=secrets, token=token)
        environ = self._environ(home, extra or {}, mark=mark, actor=actor, ref=ref, at=at, gates=gates, artifacts=artifacts)
        if self.hub is not None and not run_id:
            run_id = self.hub.add_run(self.name, workflow=f"{workflow}.yml", event=event, sha=at)
        environ["PATH"] = f"{_patient_shell(place)}{os.pathsep}{environ['PATH']}"
        environ["GITHUB_RUN_ID"] = str(run_id or self.counter)
        words += [part for name, value in environ.items() for part in ("--env", f"{name}={value}")]
        began = time.monotonic()
        process = subprocess.Popen(
            words,
            cwd=work,
            env={"PATH": environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(cache), "RUNNER_MARK": mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        reviewer = threading.Thread(target=_review, args=(process, gates, while_held, run_id), daemon=True)
        reviewer.start()
        try:
            out, _ = process.communicate(timeout=LONGEST_S)
        finally:
            left = _end(mark)
            if process.poll() is None:
                process.kill()
                process.wait(10)
            reviewer.join(10)
        run = read(workflow, content, out, artifacts, left, time.monotonic() - began)
        if self.hub is not None:
            self._as_checks(run, content, str(payload.get("pull_request", {}).get("head", {}).get("sha") or at))
        for folder in (work, cache, gates, home, place / "shell"):
            shutil.rmtree(folder, ignore_errors=True)
        return run

    def git(self, *arguments: str) -> str:
        return _git(*arguments, cwd=self.repository)

    def _protected(self, content: Mapping) -> list[str]:
        """Jobs whose environment has reviewers on the local GitHub."""
        if self.hub is None:
            return []
        known = self.hub.state(self.name).environments
        reviewed = {name for name, told in known.items() if told.get("protection_rules")}
        return [job for job, told in content["jobs"].items() if _environment(told) in reviewed]

    def _token(self, content: Mapping, *, trusted: bool) -> str:
        """A workflow's own token, with the rights that its jobs ask for (act has one for them all); a fork's may only read."""
        if self.hub is None:
            return ""
        rights: dict[str, str] = {}
        for told in content["jobs"].values():
            for name, level in told.get("permissions", {}).items():
                key = name.replace("-", "_")
                rights[key] = "write" if "write" in (level, rights.get(key)) and trusted else "read"
        return self.hub.make_token("github-actions[bot]", kind="actions", permissions=rights)

    def _as_checks(self, run: Run, content: Mapping, sha: str) -> None:
        """Each job is a check run of its name, made by GitHub itself; a job that was skipped passes."""
        import requests

        token = self.hub.make_token("github-actions[bot]", kind="actions", permissions={"checks": "write"})
        for job, told in content["jobs"].items():
            body = {
                "name": str(told.get("name", job)),
                "head_sha": sha,
                "status": "completed",
                "conclusion": run.jobs.get(job, "skipped"),
            }
            place = f"{self.hub.api_url}/repos/{self.name}/check-runs"
            requests.post(place, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=10).raise_for_status()

    def _words(self, event: str, file: Path, place: Path, content: Mapping, *, secrets: bool, token: str) -> list[str]:
        words = [str(ACT), event, "-W", str(file), "-e", str(place / "event.json"), "--json"]
        words += ["-P", "ubuntu-latest=-self-hosted", "--action-offline-mode", "--no-skip-checkout", "--no-cache-server"]
        words += ["--artifact-server-addr", "127.0.0.1", "--cache-server-addr", "127.0.0.1"]
        words += ["--action-cache-path", str(place / "c")]
        for text in [file.read_text(), *(p.read_text() for p in (file.parents[1] / "actions").rglob("action.yml"))]:
            for action, sha in sorted(set(_USES.findall(text))):
                words += ["--local-repository", f"{action}@{sha}={ACTIONS / action.removeprefix('actions/')}"]
        words += ["--insecure-secrets"] if self.unmasked else []
        for name, value in self.settings.items():
            words += ["--var", f"{name}={value}"]
        known = {"GITHUB_TOKEN": token} if token else {}
        if secrets:
            named = {"", *(_environment(job) for job in content["jobs"].values())}
            known |= {name: value for where in named for name, value in self.secrets.get(where, {}).items()}
        for name, value in known.items():
            words += ["-s", f"{name}={value}"]
        return words

    def _environ(self, home: Path, extra: Mapping[str, str], **of: object) -> dict[str, str]:
        """What a runner's machine has, and what its GitHub says."""
        api = self.hub.environment_variables(self.name, token="none") if self.hub else {}
        api.pop("GITHUB_TOKEN", None)  # a job that does not hand it to a step has none there
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "GITHUB_REPOSITORY": self.name,
            "GITHUB_ACTOR": str(of["actor"]),
            "GITHUB_REF": str(of["ref"]),
            "GITHUB_REF_NAME": str(of["ref"]).removeprefix("refs/heads/"),
            "GITHUB_SHA": str(of["at"]),
            "GIT_CONFIG_NOSYSTEM": "1",
            "RUNNER_MARK": str(of["mark"]),
            "RUNNER_REMOTE": self.hub.git_url(self.name) if self.hub else str(self.repository),
            "RUNNER_REF": str(of["ref"]),
            "RUNNER_GATES": str(of["gates"]),
            "RUNNER_ARTIFACTS": str(of["artifacts"]),
            "RUNNER_PYTHON": sys.executable,
            "RUNNER_SUPPORT": str(Path(__file__).parent),
            **api,
            **extra,
        }


def _environment(job: Mapping) -> str:
    told = job.get("environment", "")
    return told.get("name", "") if isinstance(told, dict) else str(told)


def _review(process: subprocess.Popen[str], gates: Path, reviewer: Callable[[str, int], None] | None, run_id: int) -> None:
    """Opens each gate that a job waits at, after the reviewer came back; without one it stays shut."""
    while process.poll() is None and gates.is_dir():
        for waiting in gates.glob("*.waiting"):
            gate = waiting.with_suffix(".open")
            if reviewer is not None and not gate.exists():
                reviewer(waiting.stem, run_id)
                gate.touch()
        time.sleep(0.02)


def _end(mark: str) -> tuple[str, ...]:
    """Kills every process that carries the job's mark, as the real runner does; what they were. They have ended then."""
    left: list[psutil.Process] = []
    until = time.monotonic() + ENDED_S
    while found := _marked(mark):  # again: one that has just begun may have been without its variables, or have forked
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        left += [process for process in found if process not in left]
        if time.monotonic() > until:
            break
        time.sleep(0.01)
    while any(_is_at_work(process) for process in left) and time.monotonic() < until:
        time.sleep(0.01)
    return tuple(process.info["name"] for process in left)


def _marked(mark: str) -> list[psutil.Process]:
    """Those that carry the mark and are at work."""
    found = []
    for process in psutil.process_iter(["pid", "name"]):
        try:
            if process.environ().get("RUNNER_MARK") == mark and _is_at_work(process):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _is_at_work(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _patient_shell(place: Path) -> Path:
    """A folder with a `bash` that lingers after a failure: of a step that fails act does not wait for the last words."""
    folder = place / "shell"
    folder.mkdir()
    bash = folder / "bash"
    bash.write_text(f'#!/bin/sh\n{shutil.which("bash")} "$@"\ncode=$?\n[ "$code" = 0 ] || sleep 0.5\nexit "$code"\n')
    bash.chmod(0o755)
    return folder


def _git(*arguments: str, cwd: Path | None = None) -> str:
    done = subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"git {arguments}: {done.stderr}"
    return done.stdout.strip()
