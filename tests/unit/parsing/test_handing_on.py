"""Every verb with nothing but what it needs and with all that it takes: what arrives behind the parser, to the last field."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from mlrelease import log
from mlrelease.render.report import Report
from support.typed_pins import PINS
from support.typed_runs import RUNS

CASES = [*RUNS, *PINS]


@pytest.mark.parametrize(("typed", "place", "arguments", "named"), CASES)
def test_what_is_typed_arrives(line, handed, typed, place, arguments, named):
    """Each word in its own field, and what was not said by its default; the report comes back as it is."""
    handed.stands_for(place)
    said = line(*shlex.split(typed))
    assert handed.calls == [(place, arguments, named)]
    assert (said.code, said.out, said.err) == (0, "done\n", "")


ELSEWHERE = {"serve", "demo"}
"""Verbs that end by themselves; their tests are in test_instances.py."""


def verbs(parser):
    """Every verb by its words, with its parameters."""
    for name, command in parser.commands.items():
        for sub, part in getattr(command, "commands", {"": command}).items():
            yield f"{name} {sub}".strip(), part.params


def test_every_verb_and_option_is_in_the_table(parser):
    """A verb or an option that is added needs a line here, and one that is gone leaves none behind."""
    for verb, parameters in verbs(parser):
        if verb in ELSEWHERE:
            continue
        typed = [shlex.split(case.values[0]) for case in CASES if f" {verb} " in f" {case.values[0]} "]
        assert typed, verb
        words = {word for words in typed for word in words}
        options = [p for p in parameters if p.param_type_name == "option" and p.name != "help"]
        forgotten = [p.name for p in options if not words & {*p.opts, *p.secondary_opts}]
        assert (verb, forgotten) == (verb, [])


def test_the_workspace_is_the_one_that_was_asked_for(line, handed, monkeypatch):
    """Folder and branch as given, here and the remote's when not; one id, the parent's where there is one."""
    handed.stands_for("commands.status.status")
    line("status")
    line("-C", "/some/where", "--branch", "trunk", "status")
    line("--directory", "/else", "status")
    monkeypatch.setenv("MLRELEASE_RUN_ID", "01PARENT")
    line("status")
    assert [(w.directory, w.branch, w.run_id) for w in handed.workspaces] == [
        (".", "", "01NEW"),
        ("/some/where", "trunk", "01NEW"),
        ("/else", "", "01NEW"),
        (".", "", "01PARENT"),
    ]


@pytest.mark.parametrize(
    ("typed", "directory"),
    [
        ("init --upgrade", "."),
        ("init there --upgrade", "there"),
        ("-C here init --upgrade", "here"),
        ("-C here init there --upgrade", "there"),
    ],
    ids=["where one is", "by its argument", "by the global option", "the argument is nearer"],
)
def test_a_repository_is_upgraded_where_it_lies(line, handed, typed, directory):
    """Named either way."""
    handed.stands_for("commands.vendored.upgrade")
    line(*typed.split())
    assert [w.directory for w in handed.workspaces] == [directory]


@pytest.mark.parametrize(
    ("words", "levels"),
    [
        ([], ["warning", "error"]),
        (["-v"], ["info", "warning", "error"]),
        (["-vv"], ["debug", "info", "warning", "error"]),
        (["-v", "-v", "--verbose"], ["debug", "info", "warning", "error"]),
    ],
    ids=["what matters", "-v says more", "-vv says all", "and no more than that"],
)
def test_how_much_is_logged_is_as_asked_and_every_line_names_the_run(line, handed, monkeypatch, words, levels):
    """On stderr, beside a result that stays alone on stdout."""

    def verb(_workspace, _environments):
        logger = log.get("verb")
        for level in ("debug", "info", "warning", "error"):
            getattr(logger, level)("said")
        return Report("done", {})

    monkeypatch.setattr("mlrelease.commands.status.status", verb)
    said = line(*words, "status")
    lines = [json.loads(text) for text in said.err.splitlines()]
    assert [found["level"] for found in lines] == levels
    assert {found["run_id"] for found in lines} == {"01NEW"}
    assert (said.code, said.out) == (0, "done\n")


def test_every_option_is_on_the_page_of_verbs(parser):
    """Under its verb's heading or at the top, by one of its names: what is not there is found by nobody."""
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    sections = {part.partition("\n")[0]: part for part in page.split("\n## ")}
    missing = []
    for verb, parameters in verbs(parser):
        named = "".join(text for title, text in sections.items() if verb.split()[0] in title.replace(",", " ").split())
        for parameter in parameters:
            names = {*parameter.opts, *parameter.secondary_opts}
            if parameter.param_type_name == "option" and parameter.name != "help" and not any(n in named for n in names):
                missing.append((verb, parameter.opts[0]))
    assert missing == []
