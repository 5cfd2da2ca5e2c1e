"""The local GitHub as tests hold it: repositories, accounts, what people do there, faults, and what was asked."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.github_server import bare, deciding
from support.github_server.state import Account, App, State, Thing, iso
from support.github_server.web import Fault, Faults, Problem, not_found

_RIGHTS = ("actions", "attestations", "checks", "contents", "deployments", "issues", "pull_requests", "statuses")
ACTIONS_RIGHTS = dict.fromkeys(_RIGHTS, "write")
"""What a workflow's token may at most; never `administration`, `environments`, `secrets`."""


@dataclass(frozen=True)
class Call:
    """One call of the API, as it arrived."""

    method: str
    path: str
    query: str
    login: str
    at: float
    status: int
    body: Any = None


class Hub:
    """A GitHub for one test: stateful, on 127.0.0.1. Thread-safe."""

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.now = now
        self.lock = threading.RLock()
        self.html_url = ""
        self.calls: list[Call] = []
        self.faults = Faults()
        self.accounts: dict[str, Account] = {}
        self.apps: dict[str, App] = {}
        self._states: dict[str, State] = {}
        self._ids = 1000
        self.token = self.make_token("owner")
        self.actions_token = self.make_token("github-actions[bot]", kind="actions", permissions=ACTIONS_RIGHTS)

    # -- places ----------------------------------------------------------------------------------------------------

    @property
    def api_url(self) -> str:
        """The root of the REST API, as `https://api.github.com`."""
        return self.html_url

    @property
    def enterprise_url(self) -> str:
        """The same API at the path of an Enterprise server."""
        return f"{self.html_url}/api/v3"

    def repository(
        self,
        name: str,
        *,
        private: bool = False,
        owner_type: str = "Organization",
        default_branch: str = "main",
        started: bool = False,
        **settings: Any,
    ) -> str:
        """Creates a bare repository `owner/name` and gives its clone URL. `settings` replace those of the API's answer.

        With `started` it has one commit on its default branch.
        """
        with self.lock:
            path = self.folder / f"{name}.git"
            template = self.folder / f".{'started' if started else 'empty'}-{default_branch.replace('/', '-')}"
            bare.copy(template, path, default_branch=default_branch, at=self.now() if started else None)
            number = self.next_id()
            owner, _, short = name.partition("/")
            found: Thing = {
                "id": number,
                "name": short,
                "full_name": name,
                "private": private,
                "visibility": "private" if private else "public",
                "owner": self.user(owner) | {"type": owner_type},
                "html_url": f"{self.html_url}/{name}",
                "url": f"{self.api_url}/repos/{name}",
                "clone_url": f"{self.html_url}/{name}.git",
                "default_branch": default_branch,
                "archived": False,
                "fork": False,
                "allow_squash_merge": True,
                "allow_merge_commit": True,
                "allow_rebase_merge": True,
                "allow_auto_merge": False,
                "delete_branch_on_merge": False,
                "squash_merge_commit_title": "COMMIT_OR_PR_TITLE",
                "squash_merge_commit_message": "COMMIT_MESSAGES",
                "created_at": iso(self.now()),
            }
            self._states[name] = State(name, path, number, found | settings)
            return self.git_url(name)

    def git_url(self, name: str, *, token: str = "") -> str:
        """Where it is cloned from and pushed to (`git http-backend`); with a token, as its account."""
        scheme, _, rest = self.html_url.partition("://")
        return f"{scheme}://x-access-token:{token}@{rest}/as-account/{name}.git" if token else f"{self.html_url}/{name}.git"

    def git_path(self, name: str) -> Path:
        """The bare repository itself."""
        return self.state(name).git_path

    def environment_variables(self, name: str, *, token: str = "") -> dict[str, str]:
        """What a workflow's process has: the addresses, the repository, and a token (a workflow's own unless named)."""
        return {
            "GITHUB_API_URL": self.api_url,
            "GITHUB_SERVER_URL": self.html_url,
            "GITHUB_GRAPHQL_URL": f"{self.api_url}/graphql",
            "GITHUB_REPOSITORY": name,
            "GITHUB_TOKEN": token or self.actions_token,
        }

    def state(self, name: str) -> State:
        """What the repository remembers, pull requests looked at anew. Raises `KeyError` for an unknown one."""
        with self.lock:
            state = self._states[name]
            deciding.refresh(self, state)
            return state

    def known(self, name: str, account: Account) -> State:
        """The repository, for a token that may see it."""
        state = self._states.get(name)
        if state is None or (account.app is not None and name not in account.app.repositories):
            raise not_found()
        return state

    def by_id(self, number: int) -> State | None:
        """The repository of that number."""
        return next((state for state in self._states.values() if state.id == number), None)

    def next_id(self) -> int:
        """A number that nothing else has."""
        with self.lock:
            self._ids += 1
            return self._ids

    # -- accounts --------------------------------------------------------------------------------------------------

    def user(self, login: str) -> Thing:
        """An account in GitHub's form."""
        return {
            "login": login,
            "id": sum(login.encode()) + 10_000,
            "type": "Bot" if login.endswith("[bot]") else "User",
            "html_url": f"{self.html_url}/{login}",
        }

    def make_token(
        self,
        login: str,
        *,
        kind: str = "pat",
        permissions: dict[str, str] | None = None,
        scopes: str = "repo, workflow",
        until: float = float("inf"),
        app: App | None = None,
    ) -> str:
        """A token of that account; see `Account` for kinds and rights."""
        prefix = {"pat": "ghp_", "fine": "github_pat_"}.get(kind, "ghs_")
        token = prefix + secrets.token_hex(18)
        self.accounts[token] = Account(login, kind, permissions, scopes, until, app)
        return token

    def revoke(self, token: str) -> None:
        """The token is refused from now on."""
        del self.accounts[token]

    def make_app(self, slug: str, repositories: Iterable[str], *, permissions: dict[str, str] | None = None) -> App:
        """A GitHub App with a fresh key, installed in those repositories."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        app = App(str(self.next_id()), slug, private.decode(), public.decode(), self.next_id(), set(repositories), permissions)
        self.apps[app.app_id] = app
        return app

    # -- what people do --------------------------------------------------------------------------------------------

    def commit(
        self, name: str, branch: str = "main", files: Mapping[str, str | None] | None = None, *, message: str = "change"
    ) -> str:
        """A commit on a branch, which begins at the default branch where it is new; None as a text deletes. Its id."""
        with self.lock:
            state = self._states[name]
            files = {"README.md": f"{branch} {self.next_id()}\n"} if files is None else files
            base = state.settings["default_branch"]
            return bare.write(state.git_path, branch, files, base=base, message=message, at=self.now())

    def delete_branch(self, name: str, branch: str) -> None:
        """A person deletes a branch."""
        with self.lock:
            bare.git(self._states[name].git_path, "update-ref", "-d", f"refs/heads/{branch}")

    def fork(self, name: str, owner: str) -> str:
        """A fork of the repository with the same commits; its name."""
        with self.lock:
            short = name.partition("/")[2]
            self.repository(f"{owner}/{short}", fork=True)
            bare.fetch(self._states[f"{owner}/{short}"].git_path, self._states[name].git_path, "refs/heads/*:refs/heads/*")
            return f"{owner}/{short}"

    def open_pull(
        self, name: str, *, head: str, base: str = "main", title: str = "Change", body: str = "", user: str = "ann"
    ) -> int:
        """Opens a pull request from a branch that was pushed (`owner:branch` for a fork's); its number."""
        with self.lock:
            return int(deciding.open_pull(self, self.state(name), user, head=head, base=base, title=title, body=body)["number"])

    def merge(self, name: str, number: int, method: str = "squash", *, user: str = "ann") -> str:
        """Merges as the button does, and gives the new commit. Raises `Problem` where the rules say no."""
        with self.lock:
            state = self.state(name)
            return deciding.merge(self, state, deciding.pull_of(state, number), user=user, method=method)

    def review(self, name: str, number: int, user: str, state: str = "APPROVED", body: str = "") -> None:
        """A person reviews: `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED`."""
        with self.lock:
            here = self.state(name)
            deciding.review(self, here, deciding.pull_of(here, number), user, state, body)

    def comment(self, name: str, number: int, user: str, body: str) -> int:
        """A person comments on an issue or pull request."""
        with self.lock:
            return int(deciding.comment(self, self.state(name), number, user, body)["id"])

    def close_pull(self, name: str, number: int) -> None:
        """A person closes a pull request unmerged."""
        with self.lock:
            deciding.close(self, deciding.pull_of(self.state(name), number))

    def add_run(self, name: str, *, workflow: str = "deploy.yml", event: str = "push", sha: str = "", **fields: Any) -> int:
        """A workflow run, in progress unless `fields` say otherwise; its id."""
        with self.lock:
            return int(deciding.add_run(self, self.state(name), workflow=workflow, event=event, sha=sha, **fields)["id"])

    def approve_run(
        self, name: str, run_id: int, environment: str, user: str, *, comment: str = "", state: str = "approved"
    ) -> None:
        """A person approves (or rejects) that environment's job of a run, as the button does."""
        with self.lock:
            here = self.state(name)
            known = here.environments.get(environment) or {"id": self.next_id(), "name": environment}
            here.approvals.setdefault(run_id, []).append(
                {"state": state, "comment": comment, "environments": [known], "user": self.user(user)}
            )

    def environment(
        self, name: str, environment: str, *, reviewers: Iterable[str] = (), wait_timer: int = 0, **settings: Any
    ) -> Thing:
        """A GitHub Environment with required reviewers; `settings`: `prevent_self_review`, `branches=("main", "v*")`."""
        with self.lock:
            here = self.state(name)
            return deciding.put_environment(self, here, environment, tuple(reviewers), wait_timer, **settings)

    def protect(
        self, name: str, branch: str = "main", *, reviews: int = 1, checks: Iterable[str] = (), bypass: Iterable[str] = ()
    ) -> Thing:
        """A ruleset on a branch: pull requests with approvals and checks, no force push, no deletion."""
        parameters = {"required_approving_review_count": reviews, "dismiss_stale_reviews_on_push": True}
        rules: list[Thing] = [
            {"type": "deletion"},
            {"type": "non_fast_forward"},
            {"type": "pull_request", "parameters": parameters},
        ]
        if contexts := [{"context": context} for context in checks]:
            rules.append({"type": "required_status_checks", "parameters": {"required_status_checks": contexts}})
        body = {
            "name": f"protect {branch}",
            "target": "branch",
            "enforcement": "active",
            "conditions": {"ref_name": {"include": [f"refs/heads/{branch}"], "exclude": []}},
            "rules": rules,
            "_bypass": list(bypass),
        }
        with self.lock:
            return deciding.put_ruleset(self, self.state(name), body)

    # -- faults ----------------------------------------------------------------------------------------------------

    def fault(self, match: str, *faults: Fault | int, forever: bool = False) -> None:
        """Calls that match (`POST /repos/*/pulls`) meet these faults in order, one each, then the server as ever.

        A number is that status. With `forever` the last one stays.
        """
        from support.github_server.web import status

        self.faults.add(match, [status(f) if isinstance(f, int) else f for f in faults], forever=forever)

    def count(self, method: str, ending: str = "") -> int:
        """How many calls of that method had a path that ends so."""
        return sum(call.method == method and call.path.endswith(ending) for call in self.calls)


__all__ = ["ACTIONS_RIGHTS", "Call", "Hub", "Problem"]
