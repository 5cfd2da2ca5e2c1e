"""The one error boundary: every exception becomes a line, a hint and an exit code (DESIGN §5.4)."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable

import typer

from mlrelease.errors import Error, UsageError
from mlrelease.parsing.app import given

MISUSED: type[Exception] = typer.BadParameter.__mro__[2]
"""click's ClickException, of the click that typer uses: newer ones bring their own and export only what is below it."""


def guarded(work: Callable[[], int]) -> int:
    """The exit code of the work; every exception becomes a line and a code (DESIGN §5.4)."""
    try:
        return work()
    except typer.Exit as done:
        return done.exit_code
    except UsageError as error:
        return failed(error, 2)
    except Error as error:
        return failed(error, _code_of(error))
    except KeyboardInterrupt:
        return interrupted()
    except Exception as error:  # noqa: BLE001 - the one boundary
        return unexpected(error)


def failed(error: Error, code: int, *, origin: BaseException | None = None) -> int:
    """Says an error in the form asked for; `origin` is what `-v` shows the traceback of."""
    from mlrelease.commands.output import emit, place_of, say_error  # noqa: PLC0415
    from mlrelease.render.report import Report, one_line  # noqa: PLC0415

    if wants_json():
        message, hint = one_line(error.message), one_line(error.hint)
        data = {"error": message, "where": one_line(place_of(error)), "hint": hint}
        emit(Report(verdict=message, data=data, exit_code=code), output="json")
    say_error(error)
    if given.verbose or any(word in ("-v", "-vv", "--verbose") for word in sys.argv[1:]):
        traceback.print_exception(origin or error)
    return code


def misused(error: Exception) -> int:
    """A command line that cannot be read; where only the verb is missing (`mlrelease release`), the help."""
    # by name: the typers that bring their own click do not export it
    lacks_verb = type(error).__name__ == "NoArgsIsHelpError"
    if lacks_verb and not wants_json():
        error.show()  # type: ignore[attr-defined]  # click's ClickException has it
        return 2
    # click's own first line is the usage; ours is what is wrong.
    message = "Missing command." if lacks_verb else str(error.format_message())  # type: ignore[attr-defined]  # the same
    return failed(UsageError(message, hint=" ".join(["mlrelease", *_verb_of(error), "--help"])), 2)


def _verb_of(error: Exception) -> list[str]:
    """The words of the verb that could not be read, without the program's own (`python -m …` has several)."""
    context, words = getattr(error, "ctx", None), list[str]()
    while context and context.parent:
        words.insert(0, str(context.info_name))
        context = context.parent
    return words


def interrupted() -> int:
    """Says that nothing is lost; 130."""
    message = "interrupted; what serves keeps serving"
    return failed(Error(message, hint="run it again: it goes on from what it finds"), 130)


def wants_json() -> bool:
    """Whether JSON was asked for, also where the command line could not be read to its end."""
    words = sys.argv[1:]
    pairs = zip(words, [*words[1:], ""], strict=False)  # without a word there is no pair
    asked = any(w in ("-ojson", "--output=json") or (w in ("-o", "--output") and after == "json") for w, after in pairs)
    return given.output == "json" or asked


def _code_of(error: Error) -> int:
    from mlrelease.commands.workspace import FindingsError  # noqa: PLC0415

    return 4 if isinstance(error, FindingsError) else 1


def unexpected(error: Exception) -> int:
    """A missing package, a full disk, or a defect of ours: one line each, the traceback with `-v`."""
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("mlrelease"):
        extra = _EXTRAS.get((error.name or "").partition(".")[0], "local")
        known = Error(f"this needs the package {error.name}", hint=f"pip install 'mlrelease[{extra}]'")
    elif isinstance(error, OSError):
        known = Error(_words_of(error), hint=_OS_HINTS.get(error.errno or 0, "-v shows where"))
    else:
        known = Error(f"{type(error).__name__}: {error}", hint="please report this, with the output of -v")
    return failed(known, 1, origin=error)


def _words_of(error: OSError) -> str:
    """The system's words with the file they are about; one that a library made has only its own."""
    if error.strerror:
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
        return f"{name}: {error.strerror}" if name else error.strerror
    # requests' are OSErrors too, and quote addresses with all that is in them
    said = "" if type(error).__module__.partition(".")[0] == "requests" else str(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


_EXTRAS = {"mlflow": "mlflow", "jwt": "github", "boto3": "s3", "statsmodels": "demo"}
"""What brings a package, where it is not the extra for a host."""

_OS_HINTS = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there",
    errno.EFBIG: "raise the limit on file sizes: ulimit -f",
    errno.EACCES: "see who owns it, and as whom you run this",
    errno.EPERM: "see who owns it, and as whom you run this",
    errno.EROFS: "it lies on a file system that is read-only",
    errno.EMFILE: "raise the limit on open files: ulimit -n",
}
