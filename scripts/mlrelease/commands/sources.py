"""What `why` asks outside the ledger: commits of git, pull requests of GitHub, runs of MLflow. What it could not ask it says.

Text from there may hold secrets that somebody logged or wrote into an address: they are hidden here, before anything else
sees them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mlrelease.commands.branch import NO_COMMITS, read_landings
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery import source
from mlrelease.errors import Error
from mlrelease.forge.command import without_credentials
from mlrelease.history.landings import Landings, PinCommit
from mlrelease.ledger.ledger import Ledger
from mlrelease.model.bundle import ModelPin, canonical_json, sha256_digest
from mlrelease.model.run import Dataset, RunFacts
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.registries.interface import ModelRegistry
from mlrelease.render.lineage import GIT, GITHUB, Pull, Trained

if TYPE_CHECKING:
    from mlrelease.forge.github.client import GitHub

OFFLINE = "not asked (--offline)"


@dataclass(slots=True)
class Sources:
    """One `why`'s sources, each opened once. `notes` are what is to be said of those that did not answer."""

    workspace: Workspace
    offline: bool
    notes: list[str] = field(default_factory=list)
    _environments: Mapping[str, EnvironmentSpec] | None = None
    _landings: dict[str, Landings] = field(default_factory=dict)
    _registries: dict[str, ModelRegistry | str] = field(default_factory=dict)
    _github: GitHub | None = None
    _github_asked: bool = False

    def landings(self, environment: str) -> Landings:
        """The commits of the environment's files; none where git cannot say."""
        if environment not in self._landings:
            found, problem = read_landings(self.workspace, environment)
            self._landings[environment] = found if not problem else NO_COMMITS
            if problem:
                self.note(f"commits are not named: {problem}")
        return self._landings[environment]

    def pull(self, commit: PinCommit) -> Pull | None:
        """The commit's pull request: the number out of its subject, the rest from GitHub where that can be asked."""
        written = Pull(commit.pull, f"{GIT} {commit.sha[:9]}") if commit.pull else None
        github = self._hub()
        if github is None:
            return written
        from mlrelease.forge.github import pulls  # noqa: PLC0415 - requests costs 0.1 s
        from mlrelease.forge.github.errors import NotFoundError  # noqa: PLC0415 - the same

        try:
            if commit.pull:
                found = pulls.read(github, commit.pull)
            else:
                known = [pull for pull in pulls.of_commit(github, commit.sha) if pull.merged]
                if not known:
                    return None
                found = known[0]
            approvers = pulls.approvers(github, found.number)
        except NotFoundError:
            return written  # a number out of another repository's subject
        except Error as error:
            self._github = None  # the next commit would wait for the same deadline
            self.note(f"GitHub could not be asked about pull requests: {error.message}")
            return written
        return Pull(found.number, GITHUB, found.title, found.author, found.html_url, approvers)

    def trained(self, environment: str, pin: ModelPin, ledger: Ledger) -> Trained:
        """The run behind a version, and the golden predictions that the ledger keeps for its bytes."""
        golden = ledger.goldens([pin.digest], fetch=not self.offline).get(pin.digest)
        rows = golden.get("predictions") if golden else None
        kept = Trained(
            golden=str(sha256_digest(canonical_json(golden))) if golden else "",
            golden_rows=len(rows) if isinstance(rows, list | dict) else 0,
        )
        registry = self._registry(environment)
        if isinstance(registry, str):
            return replace(kept, problem=registry)
        try:
            facts = registry.describe([(pin.name, pin.version)])[pin.name, pin.version]
            if facts is None:
                return replace(kept, problem=f"{pin.name} {pin.version} is not registered at {registry.where} any more")
            if not facts.run_id:
                return replace(kept, problem=f"{pin.name} {pin.version} was registered without a run")
            run = registry.run(facts.run_id)
        except Error as error:
            self._registries[environment] = error.message
            return replace(kept, problem=error.message)
        if run is None:
            return replace(kept, problem=f"run {facts.run_id} is gone at {registry.where}")
        return replace(kept, run=_without_secrets(run), where=registry.where)

    def note(self, text: str) -> None:
        """Said once, however often it is found."""
        if text not in self.notes:
            self.notes.append(text)

    def _hub(self) -> GitHub | None:
        if self._github_asked:
            return self._github
        self._github_asked = True
        if self.offline:
            self.note(f"GitHub: {OFFLINE}")
            return None
        from mlrelease.commands.github import github_or_none  # noqa: PLC0415 - requests costs 0.1 s

        try:
            self._github = github_or_none(self.workspace)
        except Error as error:
            self.note(f"GitHub was not asked: {error.message}")
            return None
        if self._github is None:
            self.note("GitHub was not asked: there is no repository there or no token; subjects of commits name pull requests")
        return self._github

    def _registry(self, environment: str) -> ModelRegistry | str:
        """The environment's MLflow, or why it cannot be asked."""
        if environment not in self._registries:
            self._registries[environment] = OFFLINE if self.offline else self._open(environment)
        return self._registries[environment]

    def _open(self, environment: str) -> ModelRegistry | str:
        try:
            if self._environments is None:
                # As git has it now: the tip was fetched with the ledger, or it holds as it was last fetched.
                self._environments = source.desired(self.workspace.git, self.workspace.branch).spec.environments
            spec = self._environments.get(environment)
            if spec is None:
                return f"{environment} is not among the environments of {self.workspace.branch} any more, or has findings"
            return self.workspace.registry(spec)
        except Error as error:
            return error.message


def _without_secrets(run: RunFacts) -> RunFacts:
    from mlrelease.spec.secrets import HIDDEN, is_named_so, without  # noqa: PLC0415 - only where a run was found

    def clean(text: str) -> str:
        return without(without_credentials(text))

    return replace(
        run,
        params={clean(key): HIDDEN if is_named_so(key) else clean(value) for key, value in run.params.items()},
        metrics={clean(key): value for key, value in run.metrics.items()},
        datasets=tuple(
            Dataset(*map(clean, (data.name, data.digest, data.source_type, data.source, data.context))) for data in run.datasets
        ),
        name=clean(run.name),
        status=clean(run.status),
        user=clean(run.user),
        experiment=clean(run.experiment),
        git_commit=clean(run.git_commit),
        entry=clean(run.entry),
    )
