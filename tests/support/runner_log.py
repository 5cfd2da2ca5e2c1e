"""What a run of act left, read as GitHub reads it: results by job, annotations, commands, summaries."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_OWN = re.compile(r"LocalRepositoryCache|\s*(✅|⚙|⭐)|⭐|Cleaning up")
"""What act says of itself."""


@dataclass(frozen=True)
class Annotation:
    """What a step said about a file, as GitHub shows it beside the line."""

    level: str
    file: str
    line: int
    title: str
    message: str


@dataclass(frozen=True)
class Run:
    """How one run ended: each job's result by its id, what was said, the summaries and annotations."""

    workflow: str
    jobs: Mapping[str, str]
    lines: Sequence[tuple[str, str]]
    annotations: tuple[Annotation, ...]
    commands: tuple[str, ...]
    """Every other workflow command that a step's words were taken for: `set-output`, `set-env`, `add-mask`, …"""
    summary: str
    artifacts: Path
    left_behind: tuple[str, ...]
    seconds: float

    @property
    def green(self) -> bool:
        return bool(self.jobs) and set(self.jobs.values()) <= {"success"}

    @property
    def everything(self) -> str:
        """All that was said, act's own words too: where a leak is looked for."""
        return "\n".join(line for _, line in self.lines) + self.summary + repr(self.annotations)

    @property
    def text(self) -> str:
        """What the steps said, for an assertion's message."""
        said = "\n".join(f"[{job}] {line}" for job, line in self.lines if not _OWN.match(line))
        return f"{self.workflow}: {dict(self.jobs)}\n{said}\n{self.summary}"


def read(workflow: str, content: Mapping, out: str, artifacts: Path, left: tuple[str, ...], seconds: float) -> Run:
    """The run in what act said, one JSON document a line."""
    results: dict[str, str] = {}
    lines: list[tuple[str, str]] = []
    annotations, summaries, commands = [], [], []
    names = {str(job.get("name", key)): key for key, job in content["jobs"].items()}
    for line in out.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            lines.append(("", line))
            continue
        job = str(said.get("jobID") or said.get("job", ""))
        lines.append((job, str(said.get("msg", "")).rstrip()))
        if "jobResult" in said:
            name = names.get(job, job)
            if results.get(name, "success") == "success":  # one of a matrix that failed is not made up for by the next
                results[name] = said["jobResult"]
        command = said.get("command", "")
        if command in ("error", "warning", "notice"):
            annotations.append(_annotation(str(said["raw"])))
        elif command == "summary":
            summaries.append(said.get("content", ""))
        elif command:
            commands.append(f"{command} {said.get('name', '')}".strip())
    said_files = (tuple(annotations), tuple(commands), "\n".join(summaries))
    return Run(workflow, results, lines, *said_files, artifacts, left, seconds)


def _annotation(raw: str) -> Annotation:
    """As GitHub's runner reads the line: the properties end at the first `::` (act takes the last one).

    Source: `ActionCommand.TryParseV2` of actions/runner.
    """
    head, _, message = raw.strip().removeprefix("::").partition("::")
    level, _, properties = head.partition(" ")
    of = dict(pair.partition("=")[::2] for pair in properties.split(","))
    place = (_unescaped(of.get("file", "")), int(of.get("line", 0)), _unescaped(of.get("title", "")))
    return Annotation(level, *place, _unescaped(message))


def _unescaped(text: str) -> str:
    for sign in ("%0A", "%0D", "%3A", "%2C", "%25"):
        text = text.replace(sign, chr(int(sign[1:], 16)))
    return text
