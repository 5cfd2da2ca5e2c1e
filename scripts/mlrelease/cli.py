"""The command line: parsing, the one error boundary, exit codes. Nothing heavy is imported before a verb needs it."""

from __future__ import annotations

import errno
import logging
import math
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from mlrelease.errors import Error, UsageError

if TYPE_CHECKING:
    from mlrelease.commands.workspace import Workspace
    from mlrelease.render.report import Report

app = typer.Typer(
    name="mlrelease",
    help="GitOps for machine-learning models: pins in git say which model version runs where; this makes it so and proves it.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 errored, 2 usage, 3 changes or drift, 4 findings, 5 blocked, 6 rolled back, 130 interrupted.",
)


_MISUSED: type[Exception] = typer.BadParameter.__mro__[2]
"""click's ClickException, of the click that typer uses: newer ones bring their own and export only what is below it."""


@dataclass(slots=True)
class _Globals:
    directory: str = "."
    output: str = "table"
    verbose: int = 0
    branch: str = ""
    run_id: str = ""


_globals = _Globals()


def _show_version(wanted: bool) -> None:
    if wanted:
        from mlrelease.files import version  # noqa: PLC0415

        typer.echo(version())
        raise typer.Exit


@app.callback()
def _options(
    directory: Annotated[str, typer.Option("--directory", "-C", help="Work in the repository around this folder.")] = ".",
    output: Annotated[str, typer.Option("--output", "-o", help="table or json.")] = "table",
    branch: Annotated[str, typer.Option("--branch", help="The branch that says what should run (default: the remote's).")] = "",
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log more to stderr: -v, -vv.")] = 0,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if output not in ("table", "json"):
        raise typer.BadParameter("say table or json", param_hint="--output")
    _globals.directory, _globals.output, _globals.verbose, _globals.branch = directory, output, verbose, branch


Env = Annotated[str, typer.Argument(metavar="ENV", help="The environment, a folder below environments/.")]
Envs = Annotated[list[str] | None, typer.Argument(metavar="[ENV]...", help="Environments; all when none is named.")]
Services = Annotated[list[str] | None, typer.Option("--service", "-s", help="Only this service; may be given again.")]
AllowRemove = Annotated[bool, typer.Option("--allow-remove", help="Let more than one service be removed at once.")]


def _finite(value: float) -> float:
    """The seconds as they are; click lets `nan` and `inf` pass, which no deadline ever meets."""
    if not math.isfinite(value):
        raise typer.BadParameter("say a number of seconds")
    return value


Interval = Annotated[float, typer.Option(help="Seconds between looks at git.", min=0.1, callback=_finite)]
LockTimeout = Annotated[
    float, typer.Option("--lock-timeout", help="Seconds to wait for another pass to end.", min=0, callback=_finite)
]
Reason = Annotated[str, typer.Option("--reason", help="Why: it stands in the ledger.")]
OneService = Annotated[str, typer.Option("--service", "-s", help="The service (default: the whole environment).")]
Model = Annotated[str, typer.Argument(metavar="[MODEL]", help="The registered model.")]
Version = Annotated[str, typer.Argument(metavar="[VERSION]", help="Its version.")]
Image = Annotated[str, typer.Option("--image", help="The image (repository:tag) instead of a model's version.")]
OfService = Annotated[str, typer.Option("--service", "-s", help="The service, where several have it.")]


@app.command()
def init(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="The folder of the new repository.")],
    remote: Annotated[str, typer.Option(help="A git remote to push to.")] = "",
    tracking_uri: Annotated[str, typer.Option(help="The MLflow server, e.g. ${MLFLOW_TRACKING_URI}.")] = "",
    listen: Annotated[str, typer.Option(help="host:port of the environment's proxy.")] = "",
    state_dir: Annotated[str, typer.Option(help="Where the environment keeps its state on the host.")] = "",
) -> None:
    """Make a repository with a working example environment."""
    from mlrelease.commands.init import InitOptions  # noqa: PLC0415
    from mlrelease.commands.init import init as run  # noqa: PLC0415

    options = InitOptions(
        branch=_globals.branch or "main", remote=remote, tracking_uri=tracking_uri, listen=listen, state_dir=state_dir
    )
    _emit(lambda: run(directory, options))


@app.command()
def validate(offline: Annotated[bool, typer.Option("--offline", help="Files only: ask nobody.")] = False) -> None:
    """Report every finding in the files, and every pin's gates. Loads no model."""
    from mlrelease.commands.validate import validate as run  # noqa: PLC0415

    _with_workspace(lambda workspace: run(workspace, offline=offline))


@app.command()
def plan(
    environment: Env,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 3 when there are changes.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask neither the git host nor MLflow.")] = False,
    service: Services = None,
) -> None:
    """Show what would happen if this work tree were merged."""
    from mlrelease.commands.plan import plan as run  # noqa: PLC0415

    _with_workspace(
        lambda workspace: run(workspace, environment, exit_code=exit_code, offline=offline, services=tuple(service or ()))
    )


@app.command()
def deploy(
    environment: Env, service: Services = None, allow_remove: AllowRemove = False, lock_timeout: LockTimeout = 60.0
) -> None:
    """Make what runs equal to the tip of the tracked branch, verify and record it."""
    from mlrelease.commands.deploy import DeployOptions  # noqa: PLC0415
    from mlrelease.commands.deploy import deploy as run  # noqa: PLC0415

    options = DeployOptions(tuple(service or ()), allow_remove, lock_timeout)
    _with_workspace(lambda workspace: run(workspace, environment, options))


@app.command()
def reconcile(
    environments: Envs = None,
    check: Annotated[bool, typer.Option("--check", help="Only look: exit with 3 for changes or drift.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on for ever: the same as `mlrelease agent`.")] = False,
    interval: Interval = 15.0,
    allow_remove: AllowRemove = False,
    lock_timeout: LockTimeout = 60.0,
) -> None:
    """The same pass over every environment, also against drift."""
    from mlrelease.commands.agent import agent as run_agent  # noqa: PLC0415
    from mlrelease.commands.deploy import DeployOptions  # noqa: PLC0415
    from mlrelease.commands.deploy import reconcile as run  # noqa: PLC0415

    names = tuple(environments or ())
    options = DeployOptions((), allow_remove, lock_timeout)
    if watch and not check:
        _with_workspace(lambda workspace: run_agent(workspace, names, interval_s=interval))
    else:
        _with_workspace(lambda workspace: run(workspace, names, options, check=check))


@app.command()
def agent(environments: Envs = None, interval: Interval = 15.0) -> None:
    """Watch git and reconcile, until stopped. Runs on the host of an environment."""
    from mlrelease.commands.agent import agent as run  # noqa: PLC0415

    _with_workspace(lambda workspace: run(workspace, tuple(environments or ()), interval_s=interval))


@app.command()
def status(environments: Envs = None) -> None:
    """Show what runs, what was recorded, and what git wants."""
    from mlrelease.commands.status import status as run  # noqa: PLC0415

    _with_workspace(lambda workspace: run(workspace, tuple(environments or ())))


@app.command()
def history(
    environment: Env,
    service: Annotated[str, typer.Option("--service", "-s", help="Only this service.")] = "",
    limit: Annotated[int, typer.Option(help="So many lines, newest first.", min=1)] = 20,
) -> None:
    """Show what ran here and why, from the ledger."""
    from mlrelease.commands.history import history as run  # noqa: PLC0415

    _with_workspace(lambda workspace: run(workspace, environment, service=service, limit=limit))


@app.command()
def bump(
    environment: Env,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The registered model, as its file names it.")],
    to: Annotated[str, typer.Option("--to", help="The version (default: the newest that is registered).")] = "",
    commit: Annotated[bool, typer.Option("--commit/--no-commit", help="Commit the edit.")] = True,
    push: Annotated[bool, typer.Option("--push", help="Push the commit to the tracked branch.")] = False,
) -> None:
    """Pin a model version: digest, golden predictions, one commit."""
    from mlrelease.commands.bump import BumpOptions  # noqa: PLC0415
    from mlrelease.commands.bump import bump as run  # noqa: PLC0415

    _with_workspace(lambda workspace: run(workspace, environment, model, BumpOptions(to, commit, push)))


@app.command()
def rollback(
    environment: Env,
    service: Annotated[str, typer.Option("--service", "-s", help="The service (default: the only one).")] = "",
    model: Annotated[str, typer.Option("--model", "-m", help="Only this model goes back.")] = "",
    to: Annotated[str, typer.Option("--to", help="The version to go back to.")] = "",
    last_good: Annotated[
        bool, typer.Option("--last-good", help="The newest verified state that is not rejected (default).")
    ] = False,
    now: Annotated[bool, typer.Option("--now", help="Apply and prove it at once.")] = False,
    push: Annotated[bool, typer.Option("--push/--no-push", help="Push the commit to the tracked branch.")] = True,
) -> None:
    """Commit the restored pins; with --now, apply them and prove that the old version answers."""
    from mlrelease.commands.rollback import RollbackOptions  # noqa: PLC0415
    from mlrelease.commands.rollback import rollback as run  # noqa: PLC0415

    if to and last_good:
        raise typer.BadParameter("say one of --to and --last-good", param_hint="--to")
    options = RollbackOptions(service=service, model=model, to=to, now=now, push=push)
    _with_workspace(lambda workspace: run(workspace, environment, options))


@app.command()
def hold(
    environment: Env,
    reason: Reason,
    service: OneService = "",
    hours: Annotated[float, typer.Option("--hours", help="So long (default: until lifted).", min=0)] = 0.0,
) -> None:
    """Let nothing move forward; rollbacks and repairs pass."""

    def run(workspace: Workspace) -> Report:
        from mlrelease.commands.words import hold as verb  # noqa: PLC0415

        until = workspace.now() + hours * 3600 if hours else 0.0
        return verb(workspace, environment, service=service, reason=reason, until=until)

    _with_workspace(run)


@app.command()
def unhold(environment: Env, reason: Reason, service: OneService = "") -> None:
    """Lift a hold."""

    def run(workspace: Workspace) -> Report:
        from mlrelease.commands.words import unhold as verb  # noqa: PLC0415

        return verb(workspace, environment, service=service, reason=reason)

    _with_workspace(run)


@app.command()
def reject(
    environment: Env, reason: Reason, model: Model = "", version: Version = "", image: Image = "", service: OfService = ""
) -> None:
    """Say that a version or an image may not move forward here."""

    def run(workspace: Workspace) -> Report:
        from mlrelease.commands.words import Named  # noqa: PLC0415
        from mlrelease.commands.words import reject as verb  # noqa: PLC0415

        return verb(workspace, environment, Named(service, model, version, image), reason=reason)

    _with_workspace(run)


@app.command()
def unreject(
    environment: Env, reason: Reason, model: Model = "", version: Version = "", image: Image = "", service: OfService = ""
) -> None:
    """Lift the rejection of a version or an image."""

    def run(workspace: Workspace) -> Report:
        from mlrelease.commands.words import Named  # noqa: PLC0415
        from mlrelease.commands.words import unreject as verb  # noqa: PLC0415

        return verb(workspace, environment, Named(service, model, version, image), reason=reason)

    _with_workspace(run)


@app.command()
def serve(
    environment: Annotated[str, typer.Argument(metavar="[ENV]", help="The environment whose pins are served.")] = "",
    service: Annotated[str, typer.Argument(metavar="[SERVICE]", help="The service.")] = "",
    model_path: Annotated[
        str, typer.Option(envvar="MODEL_PATH", help="Serve this MLflow model folder instead; no registry is asked.")
    ] = "",
    listen: Annotated[str, typer.Option(help="host:port, or unix:/path.")] = "127.0.0.1:8000",
    digest: Annotated[str, typer.Option(help="Refuse the folder unless it has this digest.")] = "",
    name: Annotated[str, typer.Option(help="The model's name, for a folder.")] = "model",
    version: Annotated[str, typer.Option(help="The model's version, for a folder.")] = "0",
) -> None:
    """Run the reference model server in the foreground."""
    from mlrelease.commands.serve import ServeOptions, serve_folder, serve_pinned  # noqa: PLC0415

    options = ServeOptions(listen, model_path, name, version, digest)

    def run() -> int:
        if model_path:
            return serve_folder(options)
        if not environment or not service:
            raise UsageError("what should be served?", hint="mlrelease serve ENV SERVICE, or --model-path FOLDER")
        return serve_pinned(_workspace(), environment, service, options)

    from mlrelease import log  # noqa: PLC0415

    log.configure(level=logging.INFO)
    code = _guard(run)
    sys.stdout.flush()
    sys.stderr.flush()
    # A prediction that outlived the drain keeps its thread: a normal exit would wait for it for ever.
    os._exit(code)


@app.command()
def logs(
    environment: Env,
    service: Annotated[str, typer.Argument(metavar="SERVICE")],
    lines: Annotated[int, typer.Option("--lines", "-n", help="So many lines of each instance.", min=1)] = 50,
) -> None:
    """Show the last lines of every instance of a service."""
    from mlrelease.commands.inspect import logs as run  # noqa: PLC0415

    _with_workspace(lambda workspace: run(workspace, environment, service, lines=lines))


@app.command()
def predict(
    environment: Env,
    service: Annotated[str, typer.Argument(metavar="SERVICE")],
    data: Annotated[str, typer.Option("--data", "-d", help="JSON, @FILE or - (default: the version's own example).")] = "",
    model: Annotated[str, typer.Option("--model", "-m", help="The model, where the service has several.")] = "",
) -> None:
    """Ask for one prediction through the proxy, as a client would."""
    from mlrelease.commands.inspect import predict as run  # noqa: PLC0415

    _with_workspace(lambda workspace: run(workspace, environment, service, data=data, model=model))


@app.command()
def down(environment: Env) -> None:
    """End everything of an environment on this host."""
    from mlrelease.commands.inspect import down as run  # noqa: PLC0415

    _with_workspace(lambda workspace: run(workspace, environment))


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running, and say how to stop it.")] = False,
    report: Annotated[str, typer.Option("--report", metavar="FILE", help="Write what happened as JSON.")] = "",
    directory: Annotated[str, typer.Option("--in", metavar="DIR", help="The scratch folder (default: a temporary one).")] = "",
) -> None:
    """Tell the whole story on this machine: deploy, bump, tamper, fail, revert, prove, under load."""
    from mlrelease.demo.story import demo as run  # noqa: PLC0415

    raise typer.Exit(_guard(lambda: run(keep=keep, report=report, directory=directory)))


def main() -> None:
    """The entry point: the one place that catches and exits."""
    _mend_streams()
    try:
        code = app(standalone_mode=False) or 0
    except _MISUSED as error:
        code = _misused(error)
    except (KeyboardInterrupt, typer.Abort):
        code = _interrupted()
    except Exception as error:  # noqa: BLE001 - a verb guards itself; this is for what fails before it begins
        code = _unexpected(error)
    sys.exit(code)


def _mend_streams() -> None:
    """Streams that never raise for a character, and that exist: a service may be started with them closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - open until the end
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 gets `?`, not a traceback


def _workspace() -> Workspace:
    from mlrelease.commands.workspace import new_ulid, open_workspace  # noqa: PLC0415

    _globals.run_id = _globals.run_id or os.environ.get("MLRELEASE_RUN_ID", "") or new_ulid()
    from mlrelease import log  # noqa: PLC0415

    level = {0: logging.WARNING, 1: logging.INFO}.get(_globals.verbose, logging.DEBUG)
    log.configure(level=level, run_id=_globals.run_id)
    return open_workspace(_globals.directory, run_id=_globals.run_id, branch=_globals.branch)


def _with_workspace(verb: Callable[[Workspace], Report]) -> None:
    _emit(lambda: verb(_workspace()))


def _emit(verb: Callable[[], Report]) -> None:
    from mlrelease.commands.output import emit  # noqa: PLC0415

    raise typer.Exit(_guard(lambda: emit(verb(), output=_globals.output)))


def _guard(work: Callable[[], int]) -> int:
    """The exit code of the work; every exception becomes a line and a code (DESIGN §5.4)."""
    try:
        return work()
    except typer.Exit as done:
        return done.exit_code
    except UsageError as error:
        return _failed(error, 2)
    except Error as error:
        return _failed(error, _code_of(error))
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as error:  # noqa: BLE001 - the one boundary
        return _unexpected(error)


def _failed(error: Error, code: int, *, origin: BaseException | None = None) -> int:
    """Says an error in the form asked for; `origin` is what `-v` shows the traceback of."""
    from mlrelease.commands.output import emit, say_error  # noqa: PLC0415
    from mlrelease.render.report import Report, one_line  # noqa: PLC0415

    if _wants_json():
        message, hint = one_line(error.message), one_line(error.hint)
        emit(Report(verdict=message, data={"error": message, "hint": hint}, exit_code=code), output="json")
    say_error(error)
    if _globals.verbose or any(word in ("-v", "-vv", "--verbose") for word in sys.argv[1:]):
        traceback.print_exception(origin or error)
    return code


def _misused(error: Exception) -> int:
    """A command line that cannot be read; without any argument it is the help that was asked for."""
    if len(sys.argv) < 2:
        error.show()  # type: ignore[attr-defined]  # click's ClickException has it
        return 2
    context = getattr(error, "ctx", None)
    path = str(context.command_path).split()[1:] if context and context.info_name else []
    # click's own first line is the usage; ours is what is wrong.
    message = str(error.format_message())  # type: ignore[attr-defined]  # the same
    return _failed(UsageError(message, hint=" ".join(["mlrelease", *path[-1:], "--help"])), 2)


def _interrupted() -> int:
    message = "interrupted; what serves keeps serving"
    return _failed(Error(message, hint="run it again: it goes on from what it finds"), 130)


def _wants_json() -> bool:
    """Whether JSON was asked for, also where the command line could not be read to its end."""
    words = sys.argv[1:]
    pairs = zip(words, [*words[1:], ""], strict=True)
    asked = any(w in ("-ojson", "--output=json") or (w in ("-o", "--output") and after == "json") for w, after in pairs)
    return _globals.output == "json" or asked


def _code_of(error: Error) -> int:
    from mlrelease.commands.workspace import FindingsError  # noqa: PLC0415

    return 4 if isinstance(error, FindingsError) else 1


def _unexpected(error: Exception) -> int:
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("mlrelease"):
        extra = "mlflow" if (error.name or "").partition(".")[0] == "mlflow" else "local"
        known = Error(f"this needs the package {error.name}", hint=f"pip install 'mlrelease[{extra}]'")
    elif isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        hint = _OS_HINTS.get(error.errno or 0, "-v shows where")
        known = Error(f"{place}{error.strerror or type(error).__name__}", hint=hint)
    else:
        known = Error(f"{type(error).__name__}: {error}", hint="please report this, with the output of -v")
    return _failed(known, 1, origin=error)


_OS_HINTS = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there",
    errno.EFBIG: "raise the limit on file sizes: ulimit -f",
    errno.EACCES: "see who owns it, and as whom you run this",
    errno.EPERM: "see who owns it, and as whom you run this",
    errno.EROFS: "it lies on a file system that is read-only",
    errno.EMFILE: "raise the limit on open files: ulimit -n",
}


if __name__ == "__main__":
    main()
