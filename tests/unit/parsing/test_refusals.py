"""Command lines that are refused before anything is opened: what is said, which help is named, and that nothing was done."""

from __future__ import annotations

import json
import shlex

import pytest


@pytest.fixture
def nothing_done(monkeypatch):
    """Fails the test when a verb gets as far as a workspace."""

    def opened(*_, **__):
        pytest.fail("a workspace was opened for a command line that makes no sense")

    monkeypatch.setattr("mlrelease.commands.workspace.open_workspace", opened)


OURS = [
    ("-o yaml status", "Invalid value for --output: say table or json", "mlrelease --help"),
    ("--output JSON status", "Invalid value for --output: say table or json", "mlrelease --help"),
    ("init", "Invalid value for DIR: name a new folder", "mlrelease init --help"),
    ("init new --dry-run", "Invalid value for --dry-run: it goes with --upgrade", "mlrelease init --help"),
    ("init --dry-run", "Invalid value for --dry-run: it goes with --upgrade", "mlrelease init --help"),
    *(
        (
            f"init --upgrade {option} x",
            f"Invalid value for {option}: it says what a new repository gets, --upgrade changes none",
            "mlrelease init --help",
        )
        for option in ("--remote", "--tracking-uri", "--listen", "--state-dir")
    ),
    (
        "reconcile --hosted --watch",
        "Invalid value for --hosted: it goes with neither --watch nor --check",
        "mlrelease reconcile --help",
    ),
    (
        "reconcile --hosted --check",
        "Invalid value for --hosted: it goes with neither --watch nor --check",
        "mlrelease reconcile --help",
    ),
    (
        "reconcile --watch --check",
        "Invalid value for --watch: it goes with neither --check nor --allow-remove",
        "mlrelease reconcile --help",
    ),
    (
        "reconcile --watch --allow-remove",
        "Invalid value for --watch: it goes with neither --check nor --allow-remove",
        "mlrelease reconcile --help",
    ),
    ("bump p m --reopen", "Invalid value for --reopen: it goes with --pr", "mlrelease bump --help"),
    ("promote s p --reopen", "Invalid value for --reopen: it goes with --pr", "mlrelease promote --help"),
    ("bump p --push --no-commit", "Invalid value for --no-commit: there is no commit to push", "mlrelease bump --help"),
    ("promote s p --push --no-commit", "Invalid value for --no-commit: there is no commit to push", "mlrelease promote --help"),
    *(
        (
            f"rollback p {options}",
            "Invalid value for --to: say one of --to, --to-release and --last-good",
            "mlrelease rollback --help",
        )
        for options in (
            "--to 7 --last-good",
            "--to 7 --to-release v1.0.0",
            "--to-release v1.0.0 --last-good",
            "--to 7 --to-release v1.0.0 --last-good",
        )
    ),
    (
        "rollback p --to-release v1.0.0 --model m",
        "Invalid value for --model: a release goes back by services: --service",
        "mlrelease rollback --help",
    ),
    (
        "new environment e --approval maybe",
        "Invalid value for --approval: say required or none",
        "mlrelease new environment --help",
    ),
    *(
        (
            f"release {level} --pr --no-push",
            "Invalid value for --no-push: a pull request needs its branch at the remote",
            f"mlrelease release {level} --help",
        )
        for level in ("auto", "major", "minor", "patch")
    ),
    *(
        (f"{verb} {option} inf", f"Invalid value for '{option}': say a finite number", f"mlrelease {verb.split()[0]} --help")
        for verb, option in (
            ("deploy p", "--lock-timeout"),
            ("reconcile", "--lock-timeout"),
            ("reconcile", "--interval"),
            ("wait p", "--interval"),
            ("agent", "--interval"),
            ("gc", "--lock-timeout"),
            ("gc", "--days"),
        )
    ),
]


@pytest.mark.parametrize(("typed", "message", "hint"), OURS, ids=[case[0] for case in OURS])
def test_what_makes_no_sense_together_is_said_with_the_help_of_its_verb(line, nothing_done, typed, message, hint):
    """Two lines on stderr, 2, and nothing on stdout."""
    said = line(*shlex.split(typed))
    assert said.err == f"error: {message}\n  try  {hint}\n"
    assert (said.code, said.out) == (2, "")


THEIRS = [
    ("nosuch", "'nosuch'", "mlrelease --help"),
    ("release nosuch", "'nosuch'", "mlrelease release --help"),
    ("new nosuch", "'nosuch'", "mlrelease new --help"),
    ("-q status", "-q", "mlrelease --help"),
    ("status --zzz", "--zzz", "mlrelease status --help"),
    ("release minor --zzz", "--zzz", "mlrelease release minor --help"),
    ("down p q", "(q)", "mlrelease down --help"),
    ("release publish v1 v2", "(v2)", "mlrelease release publish --help"),
    ("-C", "-C", "mlrelease --help"),
    ("plan", "'ENV'", "mlrelease plan --help"),
    ("deploy", "'ENV'", "mlrelease deploy --help"),
    ("wait", "'ENV'", "mlrelease wait --help"),
    ("history", "'ENV'", "mlrelease history --help"),
    ("at", "'ENV'", "mlrelease at --help"),
    ("at p", "'TIME'", "mlrelease at --help"),
    ("bump", "'ENV'", "mlrelease bump --help"),
    ("promote", "'SOURCE'", "mlrelease promote --help"),
    ("promote s", "'DEST'", "mlrelease promote --help"),
    ("rollback", "'ENV'", "mlrelease rollback --help"),
    ("import", "'ENV'", "mlrelease import --help"),
    ("new environment", "'NAME'", "mlrelease new environment --help"),
    ("new service p", "'NAME'", "mlrelease new service --help"),
    ("new model p", "'NAME'", "mlrelease new model --help"),
    ("approve", "'ENV'", "mlrelease approve --help"),
    ("approve p --expires", "--expires", "mlrelease --help"),
    ("hold p", "'--reason'", "mlrelease hold --help"),
    ("unhold p", "'--reason'", "mlrelease unhold --help"),
    ("reject p m 7", "'--reason'", "mlrelease reject --help"),
    ("unreject p m 7", "'--reason'", "mlrelease unreject --help"),
    ("logs p", "'SERVICE'", "mlrelease logs --help"),
    ("predict p", "'SERVICE'", "mlrelease predict --help"),
    ("down", "'ENV'", "mlrelease down --help"),
    ("release verify", "'TAG'", "mlrelease release verify --help"),
    ("validate --pr one", "'--pr'", "mlrelease validate --help"),
    ("history p --limit 0", "'--limit'", "mlrelease history --help"),
    ("history p --limit many", "'--limit'", "mlrelease history --help"),
    ("logs p a -n 0", "'--lines'", "mlrelease logs --help"),
    ("wait p --interval 0.09", "'--interval'", "mlrelease wait --help"),
    ("agent --interval 0", "'--interval'", "mlrelease agent --help"),
    ("agent --interval nan", "'--interval'", "mlrelease agent --help"),
    ("deploy p --lock-timeout -1", "'--lock-timeout'", "mlrelease deploy --help"),
    ("deploy p --lock-timeout nan", "'--lock-timeout'", "mlrelease deploy --help"),
    ("gc --days -0.1", "'--days'", "mlrelease gc --help"),
    ("hold p --reason r --hours -1", "'--hours'", "mlrelease hold --help"),
    ("hold p --reason r --hours nan", "'--hours'", "mlrelease hold --help"),
    ("hold p --reason r --hours inf", "'--hours'", "mlrelease hold --help"),
    ("hold p --reason r --hours 876601", "'--hours'", "mlrelease hold --help"),
    ("new service p a --replicas -1", "'--replicas'", "mlrelease new service --help"),
    ("new service p a --replicas 65", "'--replicas'", "mlrelease new service --help"),
    ("new service p a --replicas 1.5", "'--replicas'", "mlrelease new service --help"),
]


@pytest.mark.parametrize(("typed", "named", "hint"), THEIRS, ids=[case[0] for case in THEIRS])
def test_what_cannot_be_read_is_named_with_the_help_of_its_verb(line, nothing_done, typed, named, hint):
    """The words for it are the parser's; the place, the way out and the code are ours."""
    said = line(*shlex.split(typed))
    error, tip = said.err.splitlines()
    assert error.startswith("error: ")
    assert named in error
    assert tip == f"  try  {hint}"
    assert (said.code, said.out) == (2, "")


EXPIRES = ["", "0s", "0d", "7", "-1h", "1.5h", "1w", "inf", "nan", "24 h", "never", "1000000d"]


@pytest.mark.parametrize("text", EXPIRES, ids=repr)
def test_an_approval_without_an_end_is_none(line, handed, text):
    """Neither for ever nor for no time; and the verb never sees it."""
    handed.stands_for("commands.approve.approve")
    said = line("approve", "p", "--expires", text)
    assert said.err == f"error: {text!r} is no time: a whole number and s, m, h or d\n  try  --expires 24h\n"
    assert (said.code, said.out, handed.calls) == (2, "", [])


@pytest.mark.parametrize("asked", [("-o", "json"), ("--output", "json"), ("--output=json",), ("-ojson",)], ids=" ".join)
@pytest.mark.parametrize("before", [True, False], ids=["before the verb", "behind it"])
def test_a_program_that_asks_gets_json_for_a_slip_too(line, nothing_done, asked, before):
    """However JSON is asked for, and even where the line was not read so far; people read the same beside it."""
    words = [*asked, "rollback", "--zzz"] if before else ["rollback", "--zzz", *asked]
    said = line(*words)
    assert json.loads(said.out) == {
        "schema": 1,
        "verdict": "No such option: --zzz",
        "error": "No such option: --zzz",
        "where": "",
        "hint": "mlrelease rollback --help",
        "exit_code": 2,
        "next": "",
    }
    assert said.err == "error: No such option: --zzz\n  try  mlrelease rollback --help\n"
    assert said.code == 2


@pytest.mark.parametrize("words", [("-o", "table"), ("--output",), ("-o",), ("json",), ("--output=table",)], ids=" ".join)
def test_what_only_looks_like_json_is_not_taken_for_it(line, nothing_done, words):
    """A table is the default, and half an option is none."""
    said = line("rollback", "--zzz", *words)
    assert (said.code, said.out) == (2, "")


GROUPS = ["", "release", "new"]


@pytest.mark.parametrize("verb", GROUPS, ids=["nothing at all", *GROUPS[1:]])
def test_where_only_the_verb_is_missing_the_help_is_shown(line, verb):
    """As `--help` shows it, line by line, but on stderr and with 2: nothing was done."""
    shown = line(*verb.split(), "--help")
    assert shown.code == 0
    said = line(*verb.split())
    assert (said.code, said.out) == (2, "")
    assert said.err == shown.out
    assert said.err.startswith(" ".join(["Usage: mlrelease", *verb.split(), "[OPTIONS] COMMAND [ARGS]...\n"]))


@pytest.mark.parametrize("verb", GROUPS, ids=["nothing at all", *GROUPS[1:]])
def test_a_program_that_names_no_verb_is_told_so(line, verb):
    """A page of help is no error text."""
    said = line("-o", "json", *verb.split())
    assert json.loads(said.out)["error"] == "Missing command."
    assert said.err == f"error: Missing command.\n  try  {' '.join(['mlrelease', *verb.split(), '--help'])}\n"
    assert said.code == 2


def test_the_version_is_asked_for_alone(line):
    """One line, wherever one stands."""
    from mlrelease.files import version

    said = line("--version")
    assert (said.code, said.out, said.err) == (0, f"{version()}\n", "")


def test_the_help_names_every_verb_in_the_order_of_the_work(line, parser):
    """From the first repository to its upkeep, verbs of several words last; each says in one line what it does."""
    listed = line("--help").out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [text.split()[0] for text in listed if text[2] != " "] == [
        *("init", "validate", "plan", "deploy", "reconcile", "wait", "agent", "status", "history"),
        *("at", "why", "bump", "promote", "rollback", "import", "approve", "hold", "unhold", "reject", "unreject"),
        *("serve", "logs", "predict", "down", "demo", "doctor", "gc", "new", "release"),
    ]
    assert {name for name, verb in parser.commands.items() if not verb.help} == set()
