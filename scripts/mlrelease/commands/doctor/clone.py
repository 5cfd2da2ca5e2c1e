"""Checks of the clone: git itself, who commits, the remote and its branch, and what the files say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlrelease.commands.doctor.checks import Check, Found, Patient, bad, ok, skipped, warn
from mlrelease.commands.vendored import behind
from mlrelease.errors import UnavailableError, UsageError
from mlrelease.forge.command import PushRefusedError, failure

OLDEST_GIT = (2, 30)
PROBE = "refs/heads/mlrelease/doctor"
"""Pushed only as a dry run: the remote says whether this user may push, nothing is made."""


def checks(patient: Patient) -> Iterator[Check]:
    """The questions about the clone."""
    yield Check("git", lambda: version(patient))
    yield Check("git-identity", lambda: identity(patient))
    yield Check("git-remote", lambda: remote(patient))
    yield Check("git-branch", lambda: branch(patient))
    yield Check("git-push", lambda: push(patient))
    yield Check("git-history", lambda: history(patient))
    yield Check("files", lambda: files(patient))
    yield Check("vendored", lambda: vendored(patient))


def version(patient: Patient) -> Found:
    """Git is new enough."""
    said = patient.workspace.git.run("--version")
    numbers = re.search(r"(\d+)\.(\d+)", said)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST_GIT:
        return bad(said or "git does not say its version", f"install git {OLDEST_GIT[0]}.{OLDEST_GIT[1]} or newer")
    return ok(said)


def identity(patient: Patient) -> Found:
    """Somebody is named for commits."""
    user = patient.workspace.git.config_user()
    if user is None:
        return bad(
            "git does not know who commits",
            'git config --global user.name "Your Name" && git config --global user.email you@example.com',
        )
    return ok(f"{user[0]} <{user[1]}>")


def remote(patient: Patient) -> Found:
    """There is a remote."""
    name = patient.workspace.branch.remote
    if not name:
        return warn("the repository has no remote", "git remote add origin URL")
    return ok(f"{name}: {patient.workspace.git.remote_url(name)}")


def branch(patient: Patient) -> Found:
    """The tracked branch is there, at the remote if there is one."""
    workspace, tracked = patient.workspace, patient.workspace.branch
    if not tracked.remote:
        found = workspace.git.resolve(tracked.ref)
        return ok(f"{tracked} at {found[:9]}") if found else bad(f"there is no commit on {tracked}", "git commit")
    done = workspace.git.call("ls-remote", "--", tracked.remote, f"refs/heads/{tracked.branch}", remote=tracked.remote)
    if done.code:
        raise failure(done, doing=f"ask {tracked.remote}", cwd=workspace.git.path, remote=tracked.remote)
    if not done.text:
        return bad(f"{tracked.remote} has no branch {tracked.branch}", f"git push {tracked.remote} {tracked.branch}")
    return ok(f"{tracked} at {done.text[:9]}")


def push(patient: Patient) -> Found:
    """The remote takes a push to the ledger's branches, as far as a dry run shows: rules of a branch are not asked."""
    workspace, name = patient.workspace, patient.workspace.branch.remote
    head = workspace.git.head()
    if not name or head is None:
        return skipped("no remote to push to" if head else "nothing is committed yet")
    arguments = ("push", "--dry-run", "--porcelain", "--no-verify", "--", name, f"{head}:{PROBE}")
    done = workspace.git.call(*arguments, remote=name)
    if done.code:
        problem = failure(done, doing=f"push to {name}", cwd=workspace.git.path, remote=name)
        if isinstance(problem, UnavailableError) or not isinstance(problem, PushRefusedError):
            raise problem
        return bad(problem.message, "give this user the right to push to mlrelease/ledger")
    return ok(f"{name} takes a push (dry run)")


def history(patient: Patient) -> Found:
    """The clone has all commits."""
    if patient.workspace.git.run("rev-parse", "--is-shallow-repository") == "true":
        return bad("the clone is shallow", "git fetch --unshallow")
    return ok("the clone is complete")


def files(patient: Patient) -> Found:
    """No finding in the work tree."""
    findings = patient.workspace.worktree_spec().findings
    if findings:
        first = findings[0]
        return bad(f"{len(findings)} findings, the first {first.place}: {first.message}", "mlrelease validate --offline")
    return ok(f"{len(patient.environments)} environments without a finding")


def vendored(patient: Patient) -> Found:
    """Workflows, schemas and the unit are those of this mlrelease and of these environments, where nobody changed them."""
    try:
        old = behind(patient.workspace)
    except UsageError as error:  # a repository that was not made by `init`
        return skipped(error.message, "")
    if old:
        named = ", ".join(old[:3]) + (f" and {len(old) - 3} more" if len(old) > 3 else "")
        return warn(f"not as this mlrelease and these environments would have it: {named}", "mlrelease init --upgrade")
    return ok("as this mlrelease wrote them, or as you changed them")
