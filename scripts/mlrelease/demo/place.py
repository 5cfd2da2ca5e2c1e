"""The scratch folder of a demo: where everything lies, which addresses it uses, and the environment of its processes."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error, UsageError
from mlrelease.forge.command import environment as git_environment
from mlrelease.targets.local.files import LONGEST_SOCKET_PATH

STAGING, PRODUCTION = "staging", "production"
ENVIRONMENTS = (STAGING, PRODUCTION)
"""Both on this machine, each with a listener and a folder of its own."""

_SOCKET_ROOM = len("/production/s/v123456.4194304")
_SCRUBBED = ("CI", "GITHUB_", "MLFLOW_", "MLRELEASE_", "XDG_", "PYTHONWARNINGS", "PYTHONIOENCODING")

_PORTS = range(20000, 32000)
"""Below the ports that the kernel hands out to clients: none of those takes ours between choosing and listening."""

_GIT_SETTINGS = {
    # What a person's settings could ask of git that has no place in a story told by itself.
    "commit.gpgsign": "false",
    "core.hooksPath": os.devnull,
    "core.editor": "true",
    "pull.ff": "only",
    "push.default": "simple",
}
_NOBODY = {"NAME": "Demo", "EMAIL": "demo@example.com"}


@dataclass(frozen=True, slots=True)
class Place:
    """One demo's folder and addresses. `listen` is by environment; `made` says that the folder itself was made for it."""

    root: Path
    listen: Mapping[str, str]
    mlflow_port: int
    made: bool

    @property
    def tracking_uri(self) -> str:
        """The MLflow server."""
        return f"http://127.0.0.1:{self.mlflow_port}"

    def url(self, environment: str, service: str, model: str) -> str:
        """Where predictions of a model are asked for."""
        return f"http://{self.listen[environment]}/{service}/models/{model}/invocations"

    @property
    def laptop(self) -> Path:
        """The clone in which a person works."""
        return self.root / "laptop"

    @property
    def host(self) -> Path:
        """The clone that the agent reads."""
        return self.root / "host"

    def state(self, environment: str) -> Path:
        """`target.state_dir` of an environment."""
        return self.root / environment

    @property
    def mlflow(self) -> Path:
        """Database and artifacts of the MLflow server."""
        return self.root / "mlflow"

    @property
    def logs(self) -> Path:
        """What the processes in the background wrote."""
        return self.root / "logs"

    @property
    def temporary(self) -> Path:
        """TMPDIR of every process of this demo, which is how they are told from all others."""
        return self.root / "tmp"

    @property
    def trace(self) -> Path:
        """The file that would be written if anybody loaded the hostile pickle."""
        return self.root / "trace.txt"

    def requests(self, environment: str) -> Path:
        """What the clients of an environment ask, in turn."""
        return self.root / f"requests-{environment}.json"

    def answers(self, environment: str) -> Path:
        """What the clients of an environment got."""
        return self.logs / f"load-{environment}.jsonl"

    def remove(self) -> None:
        """Removes what the demo wrote; a folder that was there before stays, empty as it was."""
        for path in self.root.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        if self.made:
            self.root.rmdir()


def make_place(directory: str) -> Place:
    """A place in `directory` (new or empty), or in a temporary folder. Raises `UsageError` when it cannot be used."""
    try:
        if directory:
            root = Path(directory).resolve()
            made = not root.exists()
            root.mkdir(parents=True, exist_ok=True)
            if any(root.iterdir()):
                raise UsageError(f"{directory} is not empty", hint="name a new folder: the demo never writes over a file")
        else:
            root, made = Path(tempfile.mkdtemp(prefix="mlrelease-", dir=_short_temporary())).resolve(), True
        if len(os.fsencode(root)) + _SOCKET_ROOM > LONGEST_SOCKET_PATH:
            if made:
                root.rmdir()
            limit = LONGEST_SOCKET_PATH - _SOCKET_ROOM
            raise UsageError(f"{root} is too long for the unix sockets in it", hint=f"at most {limit} bytes: --in /tmp/demo")
        ports = _free_ports(1 + len(ENVIRONMENTS))
        listen = {name: f"127.0.0.1:{port}" for name, port in zip(ENVIRONMENTS, ports, strict=False)}
        place = Place(root, listen, ports[-1], made)
        for folder in (place.mlflow, place.logs, place.temporary):
            folder.mkdir()
    except OSError as error:
        raise UsageError(f"{error.filename or directory} cannot be used: {error.strerror}", hint="--in DIR") from error
    return place


def environment(place: Place, *, columns: int) -> dict[str, str]:
    """What the demo's processes see: nobody's MLflow, CI or git hooks, a name for git where it has none."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SCRUBBED)}
    settings = {f"GIT_CONFIG_KEY_{i}": key for i, key in enumerate(_GIT_SETTINGS)}
    settings |= {f"GIT_CONFIG_VALUE_{i}": value for i, value in enumerate(_GIT_SETTINGS.values())}
    own = settings | {
        "GIT_CONFIG_COUNT": str(len(_GIT_SETTINGS)),
        "TMPDIR": str(place.temporary),
        "XDG_CACHE_HOME": str(place.root / "cache"),
        "XDG_STATE_HOME": str(place.root / "cache"),
        "COLUMNS": str(columns),
        "LINES": "50",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",  # what commands write is read here as UTF-8, whatever this terminal shows
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # thirteen more processes otherwise
        # MLflow looks for its own programs there.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
    }
    variables = git_environment(kept, own)
    # The messages are for the person in front of it: their language, where git would have had ours.
    variables.pop("LC_ALL", None)
    variables |= {"LC_ALL": kept["LC_ALL"]} if "LC_ALL" in kept else {}
    return variables | ({} if has_identity(variables) else identity())


def has_identity(variables: Mapping[str, str]) -> bool:
    """Whether git knows who commits in any repository. Raises `Error` when there is no git."""
    try:
        done = subprocess.run(
            ["git", "var", "GIT_COMMITTER_IDENT"],
            cwd="/",  # a name that the repository around us has of its own is none to the demo's clones
            env=dict(variables),
            capture_output=True,
            check=False,
            timeout=DEADLINES_S["git.local"],
        )
    except FileNotFoundError as error:
        raise Error("the demo needs git", hint="install it, for example: apt-get install git") from error
    return done.returncode == 0


def identity() -> dict[str, str]:
    """A name to commit under where there is none."""
    return {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _NOBODY.items()}


def _short_temporary() -> str:
    """The folder for temporary files; `/tmp` where that one's path leaves no room for a socket's."""
    folder = tempfile.gettempdir()
    short = Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder in it
    return str(short) if len(folder) > 40 and os.access(short, os.W_OK) else folder


def _free_ports(count: int) -> list[int]:
    """So many ports, all different, that were free just now."""
    found: list[int] = []
    for _ in range(100 * count):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
        if len(found) == count:
            return found
    raise UsageError(f"no {count} ports between {_PORTS.start} and {_PORTS.stop} are free", hint="see who holds them: ss -ltnp")
