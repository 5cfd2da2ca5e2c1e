"""Who said yes in a workflow run: the reviewers of the GitHub environment behind which `approve --run` runs.

The job runs as a bot, or as whoever pushed; the approver is the person who pressed the button, asked of GitHub by API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlrelease.commands.github import github_of
from mlrelease.commands.workspace import Workspace
from mlrelease.errors import Error
from mlrelease.model.change import Change
from mlrelease.model.spec import EnvironmentSpec

UNREVIEWED = "MLRELEASE_UNREVIEWED"
ACTOR_APPROVES = "actor-approves"
"""The words by which an environment's own settings say that nobody reviews it: whoever started the run stands for it."""


@dataclass(frozen=True, slots=True)
class Given:
    """A yes: whose, and where. `refused` says why there is none; `notes` is what else people should know of it."""

    approver: str = ""
    run_url: str = ""
    notes: tuple[str, ...] = ()
    refused: str = ""
    way_out: str = ""

    @property
    def remark(self) -> str:
        """The notes for the ledger."""
        return "; ".join(self.notes)


def reviewed(
    workspace: Workspace, environment: EnvironmentSpec, run_id: str, changes: Sequence[Change], *, revision: str
) -> Given:
    """Who approved the environment in that run. Raises `Error` where GitHub cannot be asked."""
    from mlrelease.forge.github import environments  # noqa: PLC0415 - requests costs 0.1 s that `--help` does not pay

    github = github_of(workspace)
    name = environment.name
    run_url = f"{github.place.html_url}/actions/runs/{run_id}"
    said = [
        review
        for review in environments.approvals(github, run_id)
        if name.casefold() in {known.casefold() for known in review.environments}
    ]
    # A job behind the environment runs only once somebody approved it, so a rejection beside an approval is of an earlier
    # attempt of the run.
    users = tuple(dict.fromkeys(review.user for review in said if review.state == "approved"))
    against = sorted({review.user for review in said if review.state == "rejected"})
    if against and not users:
        return Given(refused=f"{', '.join(against)} rejected {name} in run {run_id}", way_out=f"mlrelease plan {name}")
    if users:
        given = Given(", ".join(users), run_url)
        return replace(given, notes=_by_author(workspace, environment, changes, users, revision=revision))
    return _unreviewed(workspace, environment, run_id, run_url)


def _unreviewed(workspace: Workspace, environment: EnvironmentSpec, run_id: str, run_url: str) -> Given:
    """Nobody approved it there. Where reviewers are set up this is a no; else only the words make it a yes."""
    from mlrelease.forge.github import environments  # noqa: PLC0415 - as above

    name = environment.name
    settings = environments.read(github_of(workspace), name)
    if settings is not None and settings.reviewers:
        return Given(
            refused=f"nobody approved {name} in run {run_id}: it has reviewers, and the job did not wait for them",
            way_out=f"put `environment: {name}` on the job that runs this",
        )
    why = f"the environment {name} on GitHub has no reviewers" if settings is not None else f"GitHub has no environment {name}"
    words = workspace.variables.get(UNREVIEWED, "")
    if words == ACTOR_APPROVES:
        return Given(workspace.actor, run_url, (f"{why}: {workspace.actor} stands for it, as {UNREVIEWED} says",))
    return Given(
        refused=f"nobody approved {name} in run {run_id}: {why} (on the Free, Pro and Team plans a private repository cannot "
        "have them)",
        way_out=f"add required reviewers, or say in words that none are wanted: {UNREVIEWED}={ACTOR_APPROVES}",
    )


def _by_author(
    workspace: Workspace, environment: EnvironmentSpec, changes: Sequence[Change], users: tuple[str, ...], *, revision: str
) -> tuple[str, ...]:
    """A note for each approver who also wrote the pull request that brought a change."""
    from mlrelease.forge.github import pulls  # noqa: PLC0415 - as above

    github = github_of(workspace)
    notes: dict[str, None] = {}
    for change in changes:
        spec = environment.services.get(change.service)
        paths = () if spec is None else (spec.path, *(model.path for model in spec.models))
        newest = workspace.git.log(paths, limit=1, revision=revision) if paths else []
        try:
            found = pulls.of_commit(github, newest[0].sha) if newest else ()
        except Error as error:
            notes[f"who wrote the change could not be asked: {error.message}"] = None
            continue
        for pull in found:
            if pull.author in users:
                notes[f"{pull.author} approved a change of their own (#{pull.number})"] = None
    return tuple(notes)
