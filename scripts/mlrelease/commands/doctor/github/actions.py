"""Checks of GitHub Actions: secrets, what workflows may do and use, whether ours are there, enabled, and still run."""

from __future__ import annotations

from collections.abc import Iterator

from mlrelease.commands.doctor.checks import Check, Found, Patient, bad, ok, skipped, warn
from mlrelease.commands.doctor.github.asking import Asked, check
from mlrelease.commands.doctor.github.owners import at_tip
from mlrelease.commands.doctor.github.shape import mappings
from mlrelease.commands.shipped import vendored_files
from mlrelease.forge.github.client import part
from mlrelease.model.beat import in_words
from mlrelease.model.bundle import sha256_digest
from mlrelease.model.when import from_iso

RECONCILE = ".github/workflows/reconcile.yml"

LATE_S, STOPPED_S = 6 * 3600.0, 24 * 3600.0
"""Schedules are late by up to six hours when GitHub is busy (FACTS §14, 2.2); after a day it is the schedule that is gone."""

_INACTIVE = "disabled_inactivity"
"""GitHub stops the schedules of a public repository without a commit in 60 days, and this is what it calls it."""


def checks(patient: Patient) -> Iterator[Check]:
    """The questions about Actions."""
    if (asked := patient.github) is None:
        return
    yield check(asked, "repository-secrets", lambda: secrets(asked))
    yield check(asked, "actions-policy", lambda: policy(asked))
    yield check(asked, "actions-token", lambda: token(asked))
    yield check(asked, "workflow-files", lambda: files(asked, patient))
    yield check(asked, "workflows", lambda: workflows(asked))
    yield check(asked, "reconcile-runs", lambda: reconcile(asked, patient))


def secrets(asked: Asked) -> Found:
    """No secret lies where every workflow can read it. Names only: GitHub shows nobody a value."""
    names = [str(found.get("name")) for found in asked.list_of("actions/secrets")]
    shared = [str(found.get("name")) for found in asked.list_of("actions/organization-secrets")]
    if not names and not shared:
        return ok("none at repository level")
    said = ", ".join([*sorted(names), *(f"{name} (of the organisation)" for name in sorted(shared))])
    fix = "; ".join(f"gh secret delete {name}" for name in sorted(names)[:3]) or "take this repository off their list"
    return warn(
        f"any workflow of any branch can read: {said}", f"set them on an Environment: gh secret set NAME --env ENV; {fix}"
    )


def policy(asked: Asked) -> Found:
    """Actions run, and only those that are pinned by commit."""
    said = asked.get("actions/permissions")
    page = asked.page("settings/actions")
    if said.get("enabled") is not True:
        return bad("GitHub Actions is off: nothing validates, waits or repairs", page)
    if said.get("sha_pinning_required") is not True:
        return warn(
            "actions may be named by tag or branch", f"{page}: require actions to be pinned to a full-length commit SHA"
        )
    return ok(f"allowed: {said.get('allowed_actions', 'all')} actions, pinned by commit")


def token(asked: Asked) -> Found:
    """A workflow that does not say what it needs gets little."""
    said = asked.get("actions/permissions/workflow")
    page = asked.page("settings/actions")
    if said.get("default_workflow_permissions") != "read":
        return bad("a workflow may write unless it says otherwise", f"{page}: workflow permissions, read")
    if said.get("can_approve_pull_request_reviews") is True:
        return warn(
            "read; but workflows may open and approve pull requests",
            f"{page}: untick it, and give bump and promote an App (MLRELEASE_APP_ID)",
        )
    return ok("read, and no approval of pull requests")


def files(asked: Asked, patient: Patient) -> Found:
    """The workflows at the tip, and the actions they are made of, are those of this version."""
    environments = patient.workspace.worktree_spec().environments.values()
    brought = vendored_files(environments, branch=patient.workspace.branch.branch)
    shipped = {path: data for path, data in brought.items() if path.startswith((".github/workflows/", ".github/actions/"))}
    if not shipped:
        return skipped("this version brings no workflows")
    there = at_tip(asked, patient)
    missing = sorted(path for path in shipped if path not in there)
    if missing:
        return warn(f"not at the tip: {', '.join(missing)}", "mlrelease init --upgrade")
    found = zip(shipped.items(), patient.workspace.git.blobs([there[path] for path in shipped]), strict=True)
    other = sorted(path for (path, data), here in found if sha256_digest(here or b"") != sha256_digest(data))
    if other:
        return warn(f"not as this version brings them: {', '.join(other)}", "mlrelease init --upgrade --dry-run shows each")
    return ok(f"{len(shipped)} as this version brings them")


def workflows(asked: Asked) -> Found:
    """No workflow is switched off."""
    found = asked.list_of("actions/workflows")
    if not found:
        return bad("GitHub knows no workflow here", f"push .github/workflows to {asked.branch}")
    off = {str(each.get("path")): str(each.get("state")) for each in found if each.get("state") != "active"}
    if off:
        path, state = min(off.items())
        why = "after 60 days without a commit" if state == _INACTIVE else state
        more = f" and {len(off) - 1} more" if len(off) > 1 else ""
        return bad(f"{path} is off ({why}){more}", f"gh workflow enable {path.rpartition('/')[2]}")
    return ok(f"{len(found)} enabled")


def reconcile(asked: Asked, patient: Patient) -> Found:
    """The scheduled workflow went well of late."""
    name = RECONCILE.rpartition("/")[2]
    if RECONCILE not in {str(each.get("path")) for each in asked.list_of("actions/workflows")}:
        return bad(f"GitHub knows no {RECONCILE}: no schedule looks for drift", "mlrelease init --upgrade")
    query = f"status=success&branch={part(asked.branch)}&per_page=1"
    runs = mappings(asked.get(f"actions/workflows/{name}/runs?{query}").get("workflow_runs"))
    again = f"gh workflow run {name}"
    if not runs:
        return bad("no run ever ended well", again)
    try:
        age = patient.workspace.now() - from_iso(str(runs[0].get("updated_at", "")))
    except ValueError:
        return bad("GitHub does not say when the last run ended", again)
    said = f"the last run that ended well is {in_words(max(age, 0.0))} old"
    if age > STOPPED_S:
        return bad(said, again)
    return warn(said, again) if age > LATE_S else ok(said)
