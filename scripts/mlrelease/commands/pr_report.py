"""`validate --pr N`: the same check, said on the pull request: a check on its head commit, annotations, one comment.

The checkout is the pull request's head and is data: nothing in it is run, and what comes out of it is inert.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlrelease.commands.github import github_of
from mlrelease.commands.records import run_url
from mlrelease.commands.validate import Checked, base_of, check, report_of
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.source import ENVIRONMENTS
from mlrelease.errors import Error, UsageError
from mlrelease.gates.interface import Origin
from mlrelease.history.fold import History
from mlrelease.model.change import ChangeKind
from mlrelease.model.gate import GateStatus
from mlrelease.model.spec import EnvironmentSpec, SourceFile, State
from mlrelease.plan.make import make_plan
from mlrelease.render.comment import CheckedPull, annotation_text, comment_text
from mlrelease.render.plan import label
from mlrelease.render.report import Report, cell, one_line

if TYPE_CHECKING:
    from mlrelease.forge.github.checks import Annotation
    from mlrelease.forge.github.checks import State as CheckState
    from mlrelease.forge.github.client import GitHub
    from mlrelease.forge.github.pulls import PullRequest


def validate_pull_request(workspace: Workspace, number: int, *, offline: bool) -> Report:
    """The report of `validate`, told on pull request `number` too.

    Raises `Error` when the checkout is not the pull request's head (somebody pushed meanwhile), or the token may not say
    so there. A comment that cannot be written is a note: the check has it all.
    """
    from mlrelease.forge.github import checks  # noqa: PLC0415 - requests costs 0.1 s that `--help` does not pay

    github = github_of(workspace)
    pull = _checked_out(workspace, github, number)
    name = f"validate/{'offline' if offline else 'online'}"
    url = run_url(workspace.variables)

    def say(state: CheckState, title: str, summary: str, annotations: tuple[Annotation, ...] = ()) -> str:
        return checks.report(
            github, sha=pull.head_sha, name=name, state=state, title=title, summary=summary, annotations=annotations, url=url
        )

    # No "pending" before it: a check that is required and not there holds the merge up just as well, and a second run of
    # the same commit then says nothing new.
    try:
        checked = check(workspace, offline=offline, proposed=True)
        checked = replace(checked, base=base_of(workspace)) if offline else checked
    except Error as error:
        say("error", "it could not be told", f"{cell(error.message)}\n\n{cell(error.hint)}")
        raise
    report = report_of(checked)
    about = _about(workspace, checked, report, name, pull.head_sha, url)
    text = comment_text(about)
    state: CheckState = "success" if report.exit_code == 0 else "error" if report.exit_code == 1 else "failure"
    page = say(state, one_line(report.verdict), text, _annotations(workspace, checked))
    notes = [*report.notes, f"{name} on {pull.head_sha[:9]}: {state}" + (f": {page}" if page else "")]
    notes.append(_comment(github, pull, name, text))
    data = {**report.data, "pull_request": {"number": pull.number, "url": pull.html_url, "commit": pull.head_sha}}
    after = f"mlrelease validate --pr {number}" if offline else f"review and merge {pull.html_url}"
    return replace(report, notes=notes, data=data, next=report.next if report.exit_code else after)


def _checked_out(workspace: Workspace, github: GitHub, number: int) -> PullRequest:
    """The pull request, if the checkout is its head and nothing else."""
    from mlrelease.forge.github import pulls  # noqa: PLC0415 - as above
    from mlrelease.forge.github.errors import NotFoundError  # noqa: PLC0415

    if number < 1:
        raise UsageError(f"{number} is no pull request's number", hint="--pr 7")
    try:
        pull = pulls.read(github, number)
    except NotFoundError as error:
        raise Error(f"there is no pull request #{number} in {github.place.name}", hint="see its number on its page") from error
    head = workspace.git.head() or "nothing"
    if head != pull.head_sha:
        raise Error(
            f"#{number} is at {pull.head_sha[:9]}, and this checkout at {head[:9]}: nothing was said there",
            hint=f"somebody pushed meanwhile, and that commit has its own run; else: git fetch origin pull/{number}/head",
        )
    dirty = workspace.git.dirty_paths(ENVIRONMENTS)
    if dirty:
        raise Error(f"{one_line(dirty[0])} is not as in {head[:9]}: nothing was said on #{number}", hint="git stash")
    return pull


def _comment(github: GitHub, pull: PullRequest, name: str, text: str) -> str:
    """Writes the one comment of this check; what is to be said of it."""
    from mlrelease.forge.github import comments, pulls  # noqa: PLC0415 - as above

    try:
        if pulls.read(github, pull.number).head_sha != pull.head_sha:
            return f"#{pull.number} moved on meanwhile: its comment is left to the newer commit's run"
        written = comments.sticky(github, pull.number, marker=f"mlrelease:{name.replace('/', ':')}:{pull.number}", body=text)
    except Error as error:
        return f"the comment on #{pull.number} could not be written: {error.message}"
    return f"the comment on #{pull.number} is {'written' if written else 'as it was'}"


def _about(workspace: Workspace, checked: Checked, report: Report, name: str, commit: str, url: str) -> CheckedPull:
    gates = [
        (p.subject.environment, p.subject.pin.name, p.subject.pin.version, r.gate, r.status.value, r.reason)
        for p, r in checked.judged
        if not p.stands or not r.opens
    ]
    gates.sort(key=lambda row: row[4] in ("passed", "skipped"))
    moves: list[tuple[str, ...]] = []
    for environment in checked.spec.environments.values():
        moves += _moves(environment, checked, now=workspace.now(), revision=commit)
    return CheckedPull(
        verdict=report.verdict,
        commit=commit,
        scope=name,
        findings=checked.spec.findings,
        moves=tuple(moves),
        gates=tuple(gates),
        baselines=_baselines(checked),
        notes=tuple(report.notes),
        next=report.next if report.exit_code else "",
        url=url,
        base_known=bool(checked.base),
    )


def _moves(environment: EnvironmentSpec, checked: Checked, *, now: float, revision: str) -> list[tuple[str, ...]]:
    """A row for each service that the pull request changes: what a pass would do about it once it is merged."""
    base = checked.base.get(environment.name)
    old = dict(base.services) if base else {}
    changed = {name for name in {*old, *environment.services} if old.get(name) != environment.services.get(name)}
    changed -= environment.invalid
    rows: list[tuple[str, ...]] = []
    if base and replace(base, services={}, invalid=frozenset()) != replace(environment, services={}, invalid=frozenset()):
        rows.append((environment.name, "every service", "settings", "", "", "the environment's own file changes"))
    history: History | None = checked.histories.get(environment.name)
    if history is None:
        for name in sorted(changed):
            before, after = old.get(name), environment.services.get(name)
            kind = "create" if before is None else "remove" if after is None or after.state is State.ABSENT else "update"
            labels = (label(before.bundle) if before else "nothing", label(after.bundle) if after else "nothing")
            rows.append((environment.name, name, kind, *labels, "not compared with what runs"))
        return rows
    source = checked.histories.get(environment.promotes_from)
    plan = make_plan(environment, history, None, revision=revision, now=now, source=source)
    for change in plan.changes:
        if change.service in changed:
            kind = "nothing" if change.kind is ChangeKind.NOOP else change.kind.value
            labels = (label(change.before), label(change.after))
            rows.append((environment.name, change.service, kind, *labels, change.blocked or change.reason))
    return rows


def _baselines(checked: Checked) -> tuple[str, ...]:
    """Which version each moving model is compared with, and why that one."""
    said = {}
    for proposed, _ in checked.judged:
        subject = proposed.subject
        if proposed.stands:
            continue
        match subject.baseline_origin:
            case Origin.RECORDED:
                why = f"compared with {subject.baseline.version if subject.baseline else '?'}, which is recorded there"
            case Origin.MERGE_BASE:
                why = f"compared with {subject.baseline.version if subject.baseline else '?'}, the pin at the merge base"
            case Origin.NONE:
                why = "compared with nothing: a first deploy"
        said[subject.environment, subject.pin.name] = f"{subject.pin.name} in {subject.environment}: {why}"
    return tuple(said.values())


def _annotations(workspace: Workspace, checked: Checked) -> tuple[Annotation, ...]:
    """One for each finding, and for each gate that does not open at the line of the version that it judged."""
    from mlrelease.forge.github.checks import Annotation  # noqa: PLC0415 - as above

    found = [
        Annotation(one_line(f.path) or ENVIRONMENTS, f.line or 1, one_line(f.rule), annotation_text(f))
        for f in checked.spec.findings
    ]
    shut = [(p, r) for p, r in checked.judged if not r.opens]
    files = workspace.git.worktree(ENVIRONMENTS) if shut else {}
    for proposed, result in shut:
        level = "failure" if result.status is GateStatus.FAILED else "warning"
        title = f"gate {result.gate} {result.status.value}"
        path = proposed.model.path
        found.append(Annotation(path, _line(files.get(path)), title, one_line(result.reason), level))
    return tuple(found)


def _line(file: SourceFile | None) -> int:
    """The line of the pinned version in a model file; 1 where that cannot be told."""
    from mlrelease.spec.tree import parse  # noqa: PLC0415 - with the spec, not by `--help`

    root = parse(file.data).root if file and not file.problem else None
    node = root.get("version") if root else None
    return node.line if node else 1
