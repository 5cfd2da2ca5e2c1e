"""stdout is the result, stderr the story: prints reports, steps and errors, inert and in any encoding."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TextIO

from mlrelease.delivery.steps import StepMark
from mlrelease.errors import Error
from mlrelease.render.narrow import narrow_table, natural_width
from mlrelease.render.report import Report, handed_on, inert, markdown, one_line


def emit(report: Report, *, output: str) -> int:
    """Prints the report in the form asked for, adds it to the job summary in GitHub Actions, returns its exit code."""
    code = report.exit_code
    try:
        if output == "json":
            # Escaped within the strings of JSON: what reads them gets the same text.
            sys.stdout.write(json.dumps(report.to_json(), indent=2, sort_keys=True).replace("##[", "#\\u0023[") + "\n")
        else:
            _text(report)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        # Whoever read us has gone (`| head -1`); rich answers that by ending the process. What was done was done.
        _let_go(sys.stdout)
    except OSError as error:
        _let_go(sys.stdout)
        say(f"error: the result cannot be written: {error.strerror}")
        code = code or 1
    _summarise(report)
    _hand_on(report)
    return code


def _summarise(report: Report) -> None:
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if os.environ.get("GITHUB_ACTIONS") != "true" or not summary:
        return
    try:
        with open(summary, "a", encoding="utf-8") as file:  # noqa: PTH123 - the path is GitHub's, appended to as it says
            file.write(markdown(report))
    except OSError as error:
        say(f"the job summary cannot be written: {error.strerror}")


def _hand_on(report: Report) -> None:
    """The report's outputs, for the later steps of the job. One that cannot be written fails none: they see it missing."""
    place = os.environ.get("GITHUB_OUTPUT")
    if os.environ.get("GITHUB_ACTIONS") != "true" or not place:
        return
    outputs = handed_on(report)
    if not outputs:
        return
    try:
        with open(place, "a", encoding="utf-8") as file:  # noqa: PTH123 - the path is GitHub's, appended to as it says
            file.writelines(f"{name}={one_line(value)}\n" for name, value in outputs.items())
    except OSError as error:
        say(f"the job's outputs cannot be written: {error.strerror}")


def say(line: str) -> None:
    """One line of the story. Never raises: a rollout must not end halfway because nobody reads it any more."""
    try:
        sys.stderr.write(muted(inert(line)) + "\n")
        sys.stderr.flush()
    except OSError:
        _let_go(sys.stderr)


def muted(text: str) -> str:
    """The text without commands to the runner of GitHub Actions; as it is elsewhere.

    The runner obeys `::command::` at the start of a line and `##[command]` anywhere (actions/runner, ActionCommand.cs), and
    names out of a pull request's files stand in what is printed. A zero-width space ends that.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return text
    return _COMMAND.sub(lambda found: "#\u200b#[" if found[1] is None else f"{found[1]}:\u200b:", text)


_COMMAND = re.compile(r"^([^\S\n]*)::|##\[", re.MULTILINE)


def _let_go(stream: TextIO) -> None:
    """Points a stream that cannot be written any more at nothing: Python would complain once more when it exits."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def step_line(mark: StepMark) -> None:
    """One line per step of a rollout."""
    if mark.name in ("lock", "prepare", "record"):
        return
    detail = f"  {mark.detail}" if mark.detail else ""
    verdict = "failed" if mark.failed else "done"
    say(f"  {mark.service}: {mark.name} {verdict} in {mark.seconds:.2f} s{detail}")


def say_error(error: Error) -> None:
    """What could not be done, where, if neither says it, and what to do about it."""
    # A file name or a git host's answer may hold a line break: it must not pass for a line of ours.
    say(f"error: {one_line(error.message)}")
    place = place_of(error)
    if place not in f"{error.message} {error.hint}":
        say(f"  at   {one_line(place)}")
    if error.hint:
        say(f"  try  {one_line(error.hint)}")


def place_of(error: Error) -> str:
    """The file or the address that an error is about, without credentials; empty where there is none."""
    from mlrelease.forge.command import without_credentials  # noqa: PLC0415 - only where something went wrong

    return without_credentials(error.where or "")


def _text(report: Report) -> None:
    from rich.console import Console  # noqa: PLC0415 - 40 ms that JSON output does not pay
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    terminal = sys.stdout.isatty()
    console = Console(
        file=sys.stdout,
        highlight=False,
        soft_wrap=True,
        no_color=not terminal or "NO_COLOR" in os.environ,
        width=None if terminal else 400,
    )
    colour = {0: "green", 3: "yellow", 5: "yellow"}.get(report.exit_code, "red")
    console.print(Text(muted(inert(report.verdict)), style=f"bold {colour}" if terminal else ""))
    rows = [[inert(cell) for cell in row] for row in report.rows]
    if rows and natural_width(report.headers, rows) > console.width:
        header, *lines = narrow_table(report.headers, rows, console.width)
        console.print(Text(header, style="dim" if terminal else ""))
        console.print(Text(muted("\n".join(lines))))
    elif rows:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim" if terminal else "", pad_edge=False)
        for header in report.headers:
            table.add_column(header, overflow="fold", no_wrap=header not in ("reason", "what"))
        for row in rows:
            table.add_row(*map(Text, row))
        with console.capture() as capture:
            console.print(table, soft_wrap=False)
        # rich pads every cell: trailing blanks would stand in logs and golden files
        sys.stdout.write(muted("\n".join(line.rstrip() for line in capture.get().splitlines())) + "\n")
    for line in (*report.details, *report.notes):
        console.print(Text(muted(f"  {inert(line)}")))
    if report.next:
        console.print(Text(muted(f"next: {inert(report.next)}")))
