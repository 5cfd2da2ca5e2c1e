"""Every verb with nothing but what it needs and with all that it takes: what arrives behind the parser, to the last field."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from mlrelease import log
from mlrelease.commands.approve import ApproveOptions
from mlrelease.commands.bump import BumpOptions
from mlrelease.commands.deploy import DeployOptions
from mlrelease.commands.gc import GcOptions
from mlrelease.commands.import_pins import ImportOptions
from mlrelease.commands.init import InitOptions
from mlrelease.commands.new import NewEnvironment, NewModel, NewService
from mlrelease.commands.promote import PromoteOptions
from mlrelease.commands.release.cut import ReleaseOptions
from mlrelease.commands.release.verify import VerifyOptions
from mlrelease.commands.rollback import RollbackOptions
from mlrelease.commands.wait import WaitOptions
from mlrelease.commands.why import WhyOptions
from mlrelease.commands.words import Named
from mlrelease.model.release import Level
from mlrelease.render.report import Report

NOW = 1_800_000_000.0
"""The clock of the stand-in workspace."""


def case(name, typed, place, *arguments, **named):
    return pytest.param(typed, place, arguments, named, id=name)


NOTHING = InitOptions(branch="main", remote="", tracking_uri="", listen="", state_dir="")
PLAIN_DEPLOY = DeployOptions(services=(), allow_remove=False, lock_timeout_s=60.0, release="")
WEEK_S = 7 * 86400.0

CASES = [
    case("init", "init pins", "commands.init.init", "pins", NOTHING),
    case(
        "init with all",
        "--branch trunk init pins --remote git@h:o/r.git --tracking-uri http://m:5000 --listen 127.0.0.1:81 --state-dir /s",
        "commands.init.init",
        "pins",
        InitOptions(
            branch="trunk",
            remote="git@h:o/r.git",
            tracking_uri="http://m:5000",
            listen="127.0.0.1:81",
            state_dir="/s",
        ),
    ),
    case("init again", "init --upgrade", "commands.vendored.upgrade", dry_run=False),
    case("init again, only shown", "init --upgrade --dry-run", "commands.vendored.upgrade", dry_run=True),
    case("validate", "validate", "commands.validate.validate", offline=False),
    case("validate offline", "validate --offline", "commands.validate.validate", offline=True),
    case("validate a proposal", "validate --pr 7", "commands.pr_report.validate_pull_request", 7, offline=False),
    case(
        "validate a proposal offline",
        "validate --offline --pr 0",
        *("commands.pr_report.validate_pull_request", 0),
        offline=True,
    ),
    case("plan", "plan p", "commands.plan.plan", "p", exit_code=False, offline=False, services=()),
    case(
        "plan with all",
        "plan p --exit-code --offline -s b --service a",
        *("commands.plan.plan", "p"),
        exit_code=True,
        offline=True,
        services=("b", "a"),
    ),
    case("deploy", "deploy p", "commands.deploy.deploy", "p", PLAIN_DEPLOY),
    case(
        "deploy with all",
        "deploy p -s a --service b --allow-remove --lock-timeout 0 --release v1.2.0",
        "commands.deploy.deploy",
        "p",
        DeployOptions(services=("a", "b"), allow_remove=True, lock_timeout_s=0.0, release="v1.2.0"),
    ),
    case("reconcile", "reconcile", "commands.deploy.reconcile", (), PLAIN_DEPLOY, check=False),
    case(
        "reconcile with all",
        "reconcile b a --check --allow-remove --lock-timeout 1.5",
        "commands.deploy.reconcile",
        ("b", "a"),
        DeployOptions(services=(), allow_remove=True, lock_timeout_s=1.5, release=""),
        check=True,
    ),
    case("reconcile for ever", "reconcile p --watch --interval 0.1", "commands.agent.agent", ("p",), interval_s=0.1),
    case(
        "reconcile on a runner",
        "reconcile p --hosted --lock-timeout 9 --allow-remove",
        "commands.hosted.hosted",
        ("p",),
        DeployOptions(services=(), allow_remove=True, lock_timeout_s=9.0, release=""),
    ),
    case(
        "wait",
        "wait p",
        "commands.wait.wait",
        "p",
        WaitOptions(revision="", timeout_s=1800.0, interval_s=3.0, record=False),
    ),
    case(
        "wait with all",
        "wait p --revision abc --timeout 90s --record --interval 0.5",
        "commands.wait.wait",
        "p",
        WaitOptions(revision="abc", timeout_s=90.0, interval_s=0.5, record=True),
    ),
    case("agent", "agent", "commands.agent.agent", (), interval_s=15.0),
    case("agent with all", "agent b a --interval 2", "commands.agent.agent", ("b", "a"), interval_s=2.0),
    case("status", "status", "commands.status.status", ()),
    case("status of some", "status b a", "commands.status.status", ("b", "a")),
    case("history", "history p", "commands.history.history", "p", service="", limit=20, since="", until=""),
    case(
        "history with all",
        "history p -s a --limit 1 --since 30d --until v1.0.0",
        *("commands.history.history", "p"),
        service="a",
        limit=1,
        since="30d",
        until="v1.0.0",
    ),
    case(
        "history in figures",
        "history p --kpi --service a --since 30d --until 2026-11-01",
        *("commands.kpi.kpi", "p"),
        service="a",
        since="30d",
        until="2026-11-01",
    ),
    case("at", "at p 2h", "commands.at.at", "p", "2h", service=""),
    case("at, of one", "at p '2h ago' -s a", "commands.at.at", "p", "2h ago", service="a"),
    case(
        "why",
        "why",
        "commands.why.why",
        "",
        WhyOptions(service="", model="", bundle="", request="", offline=False),
    ),
    case(
        "why with all",
        "why p -s a -m m --bundle 1487d93974b6 --request - --offline",
        "commands.why.why",
        "p",
        WhyOptions(service="a", model="m", bundle="1487d93974b6", request="-", offline=True),
    ),
    case(
        "bump",
        "bump p",
        "commands.bump.bump",
        *("p", ()),
        BumpOptions(to="", commit=True, push=False, services=(), pr=False, reopen=False),
    ),
    case(
        "bump and push",
        "bump p n m --to 7 --service a -s b --push",
        "commands.bump.bump",
        *("p", ("n", "m")),
        BumpOptions(to="7", commit=True, push=True, services=("a", "b"), pr=False, reopen=False),
    ),
    case(
        "bump without a commit",
        "bump p m --no-commit",
        "commands.bump.bump",
        *("p", ("m",)),
        BumpOptions(to="", commit=False, push=False, services=(), pr=False, reopen=False),
    ),
    case(
        "bump in a new proposal",
        "bump p --pr",
        "commands.bump.bump",
        *("p", ()),
        BumpOptions(to="", commit=True, push=False, services=(), pr=True, reopen=False),
    ),
    case(
        "bump in a proposal",
        "bump p m --pr --reopen --commit",
        "commands.bump.bump",
        *("p", ("m",)),
        BumpOptions(to="", commit=True, push=False, services=(), pr=True, reopen=True),
    ),
    case(
        "promote",
        "promote s p",
        "commands.promote.promote",
        *("s", "p"),
        PromoteOptions(services=(), models=(), images=True, commit=True, push=False, pr=False, reopen=False),
    ),
    case(
        "promote and push",
        "promote s p -s a -s b -m n --model m --no-image --push",
        "commands.promote.promote",
        *("s", "p"),
        PromoteOptions(services=("a", "b"), models=("n", "m"), images=False, commit=True, push=True, pr=False, reopen=False),
    ),
    case(
        "promote in a new proposal",
        "promote s p --pr",
        "commands.promote.promote",
        *("s", "p"),
        PromoteOptions(services=(), models=(), images=True, commit=True, push=False, pr=True, reopen=False),
    ),
    case(
        "promote without a commit",
        "promote s p --no-commit",
        "commands.promote.promote",
        *("s", "p"),
        PromoteOptions(services=(), models=(), images=True, commit=False, push=False, pr=False, reopen=False),
    ),
    case(
        "promote in a proposal",
        "promote s p --image --commit --pr --reopen",
        "commands.promote.promote",
        *("s", "p"),
        PromoteOptions(services=(), models=(), images=True, commit=True, push=False, pr=True, reopen=True),
    ),
    case(
        "rollback",
        "rollback p",
        "commands.rollback.rollback",
        "p",
        RollbackOptions(service="", model="", to="", to_release="", now=False, push=True, force="", pr=False),
    ),
    case(
        "rollback of one model",
        "rollback p --service a --model m --to 7 --now --force 'it was fine'",
        "commands.rollback.rollback",
        "p",
        RollbackOptions(service="a", model="m", to="7", to_release="", now=True, push=True, force="it was fine", pr=False),
    ),
    case(
        "rollback to the last good",
        "rollback p --last-good --no-push -s a -m m",
        "commands.rollback.rollback",
        "p",
        RollbackOptions(service="a", model="m", to="", to_release="", now=False, push=False, force="", pr=False),
    ),
    case(
        "rollback to a release",
        "rollback p --to-release v1.2.0 -s a --pr",
        "commands.release.restore.restore",
        "p",
        RollbackOptions(service="a", model="", to="", to_release="v1.2.0", now=False, push=True, force="", pr=True),
    ),
    case(
        "new environment",
        "new environment e",
        "commands.new.new_environment",
        "e",
        NewEnvironment(listen="", tracking_uri="", alias="", promotes_from="", approval="", like="", commit=True),
    ),
    case(
        "new environment with all",
        "new environment e --listen h:1 --tracking-uri u --alias a --promotes-from s --approval none --like l --no-commit",
        "commands.new.new_environment",
        "e",
        NewEnvironment(listen="h:1", tracking_uri="u", alias="a", promotes_from="s", approval="none", like="l", commit=False),
    ),
    case(
        "new service",
        "new service p a",
        "commands.new.new_service",
        *("p", "a"),
        NewService(image="", replicas=0, like="", commit=True),
    ),
    case(
        "new service with all",
        "new service p a --image i --replicas 64 --like s/a --no-commit",
        "commands.new.new_service",
        *("p", "a"),
        NewService(image="i", replicas=64, like="s/a", commit=False),
    ),
    case(
        "new model",
        "new model p m",
        "commands.new.new_model",
        *("p", "m"),
        NewModel(service="", version="", like="", commit=True),
    ),
    case(
        "new model with all",
        "new model p m -s a --version 7 --like n --no-commit",
        "commands.new.new_model",
        *("p", "m"),
        NewModel(service="a", version="7", like="n", commit=False),
    ),
    case(
        "import",
        "import p",
        "commands.import_pins.import_pins",
        "p",
        ImportOptions(alias="", service="", models=(), golden=True, dry_run=False),
    ),
    case(
        "import with all",
        "import p --alias champion -s a -m n --model m --no-golden --dry-run",
        "commands.import_pins.import_pins",
        "p",
        ImportOptions(alias="champion", service="a", models=("n", "m"), golden=False, dry_run=True),
    ),
    case(
        "approve",
        "approve p",
        "commands.approve.approve",
        "p",
        ApproveOptions(services=(), expires_s=WEEK_S, run_url="", reason="", plan="", run=""),
    ),
    case(
        "approve with all",
        "approve p -s a --service b --expires 90s --run-url https://h/1 --reason r --plan f --run 5",
        "commands.approve.approve",
        "p",
        ApproveOptions(services=("a", "b"), expires_s=90.0, run_url="https://h/1", reason="r", plan="f", run="5"),
    ),
    case("hold", "hold p --reason r", "commands.words.hold", "p", service="", reason="r", until=0.0),
    case(
        "hold for a while",
        "hold p --reason r -s a --hours 1.5",
        *("commands.words.hold", "p"),
        service="a",
        reason="r",
        until=NOW + 5400.0,
    ),
    case(
        "hold for a hundred years",
        "hold p --reason r --hours 876600",
        *("commands.words.hold", "p"),
        service="",
        reason="r",
        until=NOW + 876_600 * 3600.0,
    ),
    case("unhold", "unhold p --reason r", "commands.words.unhold", "p", service="", reason="r"),
    case("unhold one", "unhold p --reason r --service a", "commands.words.unhold", "p", service="a", reason="r"),
    case(
        "reject a version",
        "reject p m 7 --reason r -s a",
        "commands.words.reject",
        "p",
        Named(service="a", model="m", version="7", image=""),
        reason="r",
    ),
    case(
        "reject an image",
        "reject p --image i:1 --reason r",
        "commands.words.reject",
        "p",
        Named(service="", model="", version="", image="i:1"),
        reason="r",
    ),
    case(
        "unreject a version",
        "unreject p m 7 --reason r -s a",
        "commands.words.unreject",
        "p",
        Named(service="a", model="m", version="7", image=""),
        reason="r",
    ),
    case(
        "unreject an image",
        "unreject p --image i:1 --reason r",
        "commands.words.unreject",
        "p",
        Named(service="", model="", version="", image="i:1"),
        reason="r",
    ),
    case("logs", "logs p a", "commands.inspect.logs", "p", "a", lines=50),
    case("logs, fewer", "logs p a -n 1", "commands.inspect.logs", "p", "a", lines=1),
    case("logs, more", "logs p a --lines 900", "commands.inspect.logs", "p", "a", lines=900),
    case("predict", "predict p a", "commands.inspect.predict", "p", "a", data="", model=""),
    case("predict with all", "predict p a -d @f -m m", "commands.inspect.predict", "p", "a", data="@f", model="m"),
    case("down", "down p", "commands.inspect.down", "p"),
    *(
        case(
            f"release {level}",
            f"release {level}",
            "commands.release.cut.release",
            ReleaseOptions(level=Level(level), environments=("production",), dry_run=False, push=True),
        )
        for level in ("auto", "major", "minor", "patch")
    ),
    *(
        case(
            f"release {level} with all",
            f"release {level} -e b --environment a -e b --dry-run --no-push",
            "commands.release.cut.release",
            ReleaseOptions(level=Level(level), environments=("b", "a"), dry_run=True, push=False),
        )
        for level in ("auto", "major", "minor", "patch")
    ),
    *(
        case(
            f"release {level} in a proposal",
            f"release {level} --pr -e a",
            "commands.release.proposal.propose",
            ReleaseOptions(level=Level(level), environments=("a",), dry_run=False, push=True),
        )
        for level in ("auto", "major", "minor", "patch")
    ),
    case(
        "release in a proposal, only shown",
        "release auto --pr --dry-run",
        "commands.release.cut.release",
        ReleaseOptions(level=Level.AUTO, environments=("production",), dry_run=True, push=True),
    ),
    case("release publish", "release publish", "commands.release.publish.publish", ""),
    case("release publish one", "release publish v1.2.0", "commands.release.publish.publish", "v1.2.0"),
    case(
        "release verify",
        "release verify v1.2.0",
        "commands.release.verify.verify",
        "v1.2.0",
        VerifyOptions(deep=False, images=False),
    ),
    case(
        "release verify the bytes",
        "release verify v1.2.0 --deep",
        "commands.release.verify.verify",
        "v1.2.0",
        VerifyOptions(deep=True, images=False),
    ),
    case(
        "release verify the images",
        "release verify v1.2.0 --images",
        "commands.release.verify.verify",
        "v1.2.0",
        VerifyOptions(deep=False, images=True),
    ),
    case("doctor", "doctor", "commands.doctor.verb.doctor", (), images=False),
    case("doctor with all", "doctor b a --images", "commands.doctor.verb.doctor", ("b", "a"), images=True),
    case("gc", "gc", "commands.gc.gc", (), GcOptions(dry_run=False, days=30.0, lock_timeout_s=60.0)),
    case(
        "gc with all",
        "gc b a --dry-run --days 0 --lock-timeout 5",
        "commands.gc.gc",
        ("b", "a"),
        GcOptions(dry_run=True, days=0.0, lock_timeout_s=5.0),
    ),
]


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
