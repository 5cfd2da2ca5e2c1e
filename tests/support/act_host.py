"""What stands in for GitHub's own actions while act runs a job on this machine: `act_host.py WHAT`, inputs as variables.

Only the standard library: it runs as the job does, without the tests' path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HELD_S = 120.0


def git(*arguments: str, cwd: Path | str = ".") -> str:
    done = subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def checkout() -> None:
    """A clone of the remote at the wanted ref: detached for a commit or a pull request, on the branch for a branch.

    What a job with a protected environment does first; it waits here, as GitHub holds the job, until the review is there.
    """
    _held()
    remote, place = os.environ["RUNNER_REMOTE"], Path(os.environ["PLACE"] or ".")
    wanted = os.environ["REF"] or os.environ.get("RUNNER_REF", "")
    place.mkdir(parents=True, exist_ok=True)
    git("init", "--quiet", "--initial-branch=unborn", cwd=place)
    if not git("remote", cwd=place):
        git("remote", "add", "origin", remote, cwd=place)
    if os.environ["PERSIST"] != "false":
        git("config", "http.extraheader", f"AUTHORIZATION: basic {os.environ.get('GITHUB_TOKEN', '')}", cwd=place)
    branch = wanted.removeprefix("refs/heads/")
    is_branch = bool(git("ls-remote", "origin", f"refs/heads/{branch}", cwd=place))
    everything = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
    depth = int(os.environ["DEPTH"])
    if is_branch:
        one = f"+refs/heads/{branch}:refs/remotes/origin/{branch}"
    else:
        one = f"{wanted}:refs/remotes/{wanted.removeprefix('refs/')}" if wanted.startswith("refs/") else wanted
    refs = [one] if depth else [*everything, one]
    shallow = [f"--depth={depth}"] if depth else []
    git("fetch", "--quiet", "--no-tags", *shallow, "origin", *refs, cwd=place)
    if is_branch:
        git("checkout", "--quiet", "-B", branch, f"refs/remotes/origin/{branch}", cwd=place)
    else:
        git(
            "checkout",
            "--quiet",
            "--detach",
            wanted if not wanted.startswith("refs/") else f"refs/remotes/{wanted[5:]}",
            cwd=place,
        )
    print(f"checked out {wanted} at {git('rev-parse', 'HEAD', cwd=place)}")


def _held() -> None:
    gate = Path(os.environ["RUNNER_GATES"]) / os.environ["GITHUB_JOB"]
    if not gate.with_suffix(".held").exists():
        return
    gate.with_suffix(".waiting").touch()
    end = time.monotonic() + HELD_S
    while not gate.with_suffix(".open").exists():
        if time.monotonic() > end:
            sys.exit(f"nobody reviewed {gate.name}")
        time.sleep(0.05)


def setup_python() -> None:
    """The Python of the tests is on PATH; what pip would be asked to install is an error, said by pip itself."""
    print(f"python {os.environ['WANTED']} is {sys.executable}")


def upload() -> None:
    """A file, or what is in a folder."""
    place, what = Path(os.environ["RUNNER_ARTIFACTS"]) / os.environ["NAME"], Path(os.environ["PLACE"])
    place.mkdir(parents=True)
    if what.is_dir():
        shutil.copytree(what, place, dirs_exist_ok=True)
    else:
        shutil.copy(what, place)


def download() -> None:
    shutil.copytree(Path(os.environ["RUNNER_ARTIFACTS"]) / os.environ["NAME"], os.environ["PLACE"] or ".", dirs_exist_ok=True)


def attest() -> None:
    """Notes the files; one that is not there is an error, as it is for the real one."""
    found = [path for pattern in os.environ["PLACE"].split() for path in sorted(Path().glob(pattern))]
    if not found:
        sys.exit("nothing to attest")
    with (Path(os.environ["RUNNER_ARTIFACTS"]) / "attested").open("a") as file:
        file.writelines(f"{path}\n" for path in found)


if __name__ == "__main__":
    what = {"checkout": checkout, "setup-python": setup_python, "upload": upload, "download": download, "attest": attest}
    what[sys.argv[1]]()
