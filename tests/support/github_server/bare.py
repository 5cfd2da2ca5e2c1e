"""The git half: bare repositories with real merge commits, refs of pull requests, and rules that refuse pushes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

# Said as GitHub says it (GH013); `update` runs once for each ref, for pushes by path and over HTTP alike.
_HOOK = r"""#!/bin/sh
ref=$1 old=$2 new=$3
zero=0000000000000000000000000000000000000000
[ -f "$GIT_DIR/rules" ] || exit 0
set -f
while IFS=' ' read -r rule actors glob; do
  case "$ref" in $glob) ;; *) continue ;; esac
  case ",$actors," in *",${REMOTE_USER:-nobody},"*) continue ;; esac
  bad=
  case "$rule" in
    pull_request) [ "$new" != $zero ] && [ "$old" != $zero ] && bad="Changes must be made through a pull request." ;;
    update) [ "$new" != $zero ] && [ "$old" != $zero ] && bad="Cannot update this protected ref." ;;
    creation) [ "$old" = $zero ] && bad="Cannot create this protected ref." ;;
    deletion) [ "$new" = $zero ] && bad="Cannot delete this protected ref." ;;
    non_fast_forward)
      [ "$old" != $zero ] && [ "$new" != $zero ] && ! git merge-base --is-ancestor "$old" "$new" &&
        bad="Cannot force-push to this protected ref." ;;
  esac
  if [ -n "$bad" ]; then
    echo "error: GH013: Repository rule violations found for $ref." >&2
    echo "- $bad" >&2
    exit 1
  fi
done <"$GIT_DIR/rules"
exit 0
"""

_WHO = {"GIT_COMMITTER_NAME": "GitHub", "GIT_COMMITTER_EMAIL": "noreply@github.com"}


def git(path: Path, *arguments: str, check: bool = True, stdin: str = "", **extra: str) -> str:
    """The stripped output of git in a bare repository; empty for a failure when not `check`ed."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k == "GIT_CONFIG_NOSYSTEM"}
    done = subprocess.run(
        ["git", "--git-dir", str(path), *arguments],
        check=False,
        capture_output=True,
        text=True,
        input=stdin,
        timeout=60,
        env=env | extra,
    )
    if done.returncode and check:
        raise RuntimeError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip() if done.returncode == 0 else ""


def copy(template: Path, path: Path, *, default_branch: str, at: float | None) -> None:
    """A bare repository as `create` makes it, copied from a template that is made once: git starts no process for it.

    With `at` it has one commit, made at that moment.
    """
    if not template.exists():
        create(template, default_branch=default_branch)
        if at is not None:
            write(template, default_branch, {"README.md": "# Models\n"}, base=default_branch, message="start", at=at)
    shutil.copytree(template, path)


def create(path: Path, *, default_branch: str = "main") -> None:
    """An empty bare repository that serves pushes over HTTP, with the hook for its rules."""
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--bare", f"--initial-branch={default_branch}")
    git(path, "config", "http.receivepack", "true")
    git(path, "config", "uploadpack.allowAnySHA1InWant", "true")
    hook = path / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(_HOOK)
    hook.chmod(0o755)


def tip(path: Path, ref: str) -> str:
    """The commit that a ref, tag or id names; empty when there is none."""
    return git(path, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", check=False)


def is_ancestor(path: Path, older: str, newer: str) -> bool:
    """Whether `older` is in the history of `newer`."""
    return git(path, "merge-base", older, newer, check=False) == older


def merged_tree(path: Path, base: str, head: str) -> str:
    """The tree of both together; empty when they conflict."""
    return git(path, "merge-tree", "--write-tree", base, head, check=False).partition("\n")[0]


def commit(path: Path, tree: str, parents: list[str], message: str, author: str) -> str:
    """A commit as GitHub's merge button makes it: written by the author, committed by GitHub."""
    who = {"GIT_AUTHOR_NAME": author, "GIT_AUTHOR_EMAIL": f"{author}@users.noreply.github.com"} | _WHO
    flags = [word for parent in parents for word in ("-p", parent)]
    return git(path, "commit-tree", tree, *flags, "-F", "-", stdin=message, **who)


def write(path: Path, branch: str, files: Mapping[str, str | None], *, base: str, message: str, at: float) -> str:
    """A commit of these files (None deletes) on a branch, begun at `base` where it is new; past every rule."""
    ref = f"refs/heads/{branch}"
    start = next((found for name in (ref, f"refs/heads/{base}") if (found := tip(path, name))), "")
    lines = [f"commit {ref}", f"committer Ann <ann@example.com> {int(at)} +0000", f"data {len(message.encode())}", message]
    lines += [f"from {start}"] if start else []
    for name, text in files.items():
        lines += [f"D {name}"] if text is None else [f"M 100644 inline {name}", f"data {len(text.encode())}", text]
    git(path, "fast-import", "--quiet", "--force", stdin="\n".join(lines) + "\n")
    return tip(path, ref)


def set_ref(path: Path, ref: str, sha: str, old: str = "") -> None:
    """Moves a ref past every rule, as the server itself may."""
    git(path, "update-ref", ref, sha, *([old] if old else []))


def fetch(path: Path, source: Path, refspec: str) -> None:
    """Copies objects from another bare repository (a fork's)."""
    git(path, "fetch", "--quiet", str(source), refspec)
