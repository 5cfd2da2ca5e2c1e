"""`logs`, `predict` and `down`: looking into what runs on this host, asking it, and ending it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mlrelease.commands.output import say
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.deadlines import DEADLINES_S
from mlrelease.delivery.agent import agent_pid
from mlrelease.delivery.artifacts import golden_of
from mlrelease.delivery.site import Site
from mlrelease.errors import Error, UsageError
from mlrelease.history.fold import fold
from mlrelease.model.bundle import Bundle
from mlrelease.render.report import Report

_NAMED = 10
"""So many models of a service are named in an error; a fleet has a thousand."""


def logs(workspace: Workspace, environment: str, service: str, *, lines: int) -> Report:
    """The last lines of every instance of a service, each behind its id. Raises `Error` when none was ever started here."""
    site = _site(workspace, environment)
    running = site.target.observe().instances
    instances = [i for i in running if i.service == service]
    if not instances:
        names = sorted({i.service for i in running})
        raise Error(f"no instance of {service!r} on this host", hint=f"services here: {', '.join(names) or 'none'}")
    found = {i.id: list(site.target.logs(i.id, lines=lines)) for i in instances}
    return Report(
        verdict=f"{environment}: {len(instances)} instances of {service}",
        data={"environment": environment, "service": service, "logs": found},
        details=[f"{name}  {line}" for name, texts in sorted(found.items()) for line in texts],
    )


def predict(workspace: Workspace, environment: str, service: str, *, data: str, model: str) -> Report:
    """One prediction through the proxy, as a client gets it. `data` is JSON, `@FILE`, `-`, or empty: the version's example.

    Raises `Error` when nothing answers; an answer other than 2xx is shown and ends with 1.
    """
    site = _site(workspace, environment)
    recorded = fold(environment, site.ledger.read(environment, fetch=False).events).bundle(service)
    if recorded is not None and len(recorded.models) > 1 and not model:
        served = [pin.name for pin in recorded.models]
        more = f" and {len(served) - _NAMED} more" if len(served) > _NAMED else ""
        raise UsageError(
            f"{service} answers for {len(served)} models: {', '.join(served[:_NAMED])}{more}",
            hint=f"name one: --model {served[0]}",
        )
    payload = _payload(site, recorded, service, data, model)
    path = f"/models/{model}/invocations" if model else "/invocations"
    try:
        answer = site.target.ask_service(
            service,
            "POST",
            path,
            json.dumps(payload).encode(),
            timeout_s=DEADLINES_S["proxy.request"],
            headers={"Content-Type": "application/json"},
        )
    except OSError as error:
        raise Error(
            f"nothing answers at http://{site.environment.target.listen}: {error}", hint=f"mlrelease status {environment}"
        ) from error
    try:
        body: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        body = answer.body.decode(errors="replace")[:500]
    names = ("x-model-version", "x-bundle", "x-revision", "x-request-id")
    headers = {name: answer.headers[name] for name in names if name in answer.headers}
    return Report(
        verdict=f"{environment}: {service} answered {answer.status}",
        data={"environment": environment, "service": service, "status": answer.status, "headers": headers, "answer": body},
        details=[json.dumps(body)[:2000], *(f"{name}: {value}" for name, value in headers.items())],
        exit_code=0 if 200 <= answer.status < 300 else 1,
    )


def down(workspace: Workspace, environment: str) -> Report:
    """Ends everything of the environment on this host. The ledger and the cache stay; the next deploy brings it back.

    Raises `Error` while an agent owns the environment: it would bring everything up again.
    """
    env = environment_of(workspace.worktree_spec(), environment)
    site = workspace.site(env)
    pid = agent_pid(site.state_dir)
    if pid:
        raise Error(f"an agent (pid {pid}) owns {environment} and would bring it up again", hint=f"stop it first: kill {pid}")
    if not site.state_dir.is_dir():
        return Report(
            verdict=f"{environment} does not run on this host: nothing to do", data={"environment": environment, "ended": 0}
        )
    count = len(site.target.observe().instances)
    say(f"ending {count} instances, the proxy and the supervisor")
    site.target.down()
    return Report(
        verdict=f"{environment} is down: {count} instances ended",
        data={"environment": environment, "ended": count},
        next=f"mlrelease deploy {environment}",
    )


def _site(workspace: Workspace, environment: str) -> Site:
    site = workspace.site(environment_of(workspace.desired().spec, environment))
    if not site.runs_here:
        raise Error(f"{environment} does not run on this host (no {site.state_dir})", hint=f"mlrelease deploy {environment}")
    return site


def _payload(site: Site, recorded: Bundle | None, service: str, data: str, model: str) -> Any:
    if data:
        return _parsed(data)
    if recorded is None:
        raise Error(
            f"{service!r} was never deployed in {site.environment.name}",
            hint=f"mlrelease status {site.environment.name} names what runs",
        )
    pins = [pin for pin in recorded.models if not model or pin.name == model]
    if model and not pins:
        served = ", ".join(pin.name for pin in recorded.models[:_NAMED]) or "none"
        raise UsageError(f"{service} has no model {model!r}", hint=f"models there: {served}")
    for pin in pins:
        path = site.cache.get(pin.digest)
        golden = golden_of(site, pin.digest) if path else None
        if golden:
            return golden["payload"]
    raise UsageError(
        f"{service} has no input example to send", hint="give the data: --data '{\"inputs\": [[…]]}' or --data @FILE"
    )


def _parsed(data: str) -> Any:
    where = "--data"
    try:
        if data == "-":
            where, data = "standard input", sys.stdin.read()
        elif data.startswith("@"):
            where = data[1:] or "--data @"
            data = Path(data[1:]).read_text(encoding="utf-8")
        return json.loads(data)
    except OSError as error:
        raise UsageError(
            f"{where} cannot be read: {error.strerror}", hint="--data @FILE, or --data - for standard input"
        ) from error
    except ValueError as error:
        raise UsageError(f"{where} is not JSON: {error}", hint="for example --data '{\"inputs\": [[…]]}'") from error
