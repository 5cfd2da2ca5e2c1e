"""Command lines about what runs, each with what must arrive behind the parser: the verb's place and all of its arguments."""

from __future__ import annotations

from typing import Any

import pytest
from mlrelease.commands.approve import ApproveOptions
from mlrelease.commands.deploy import DeployOptions
from mlrelease.commands.gc import GcOptions
from mlrelease.commands.init import InitOptions
from mlrelease.commands.wait import WaitOptions
from mlrelease.commands.why import WhyOptions
from mlrelease.commands.words import Named

NOW = 1_800_000_000.0
"""The clock of the stand-in workspace."""

NOTHING = InitOptions(branch="main", remote="", tracking_uri="", listen="", state_dir="")
PLAIN_DEPLOY = DeployOptions(services=(), allow_remove=False, lock_timeout_s=60.0, release="")
WEEK_S = 7 * 86400.0


def case(name: str, typed: str, place: str, *arguments: Any, **named: Any) -> Any:
    """One line of a table: what is typed, who gets it, and what."""
    return pytest.param(typed, place, arguments, named, id=name)


RUNS = [
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
