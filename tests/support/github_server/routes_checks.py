"""Check runs (for Apps and workflows only), commit statuses, deployments."""

from __future__ import annotations

from support.github_server import bare
from support.github_server.routes_pulls import REPO
from support.github_server.state import State, Thing, iso
from support.github_server.web import Problem, Request, Response, invalid, not_found, route

_CONCLUSIONS = ("action_required", "cancelled", "failure", "neutral", "success", "skipped", "stale", "timed_out")
_LEVELS = ("notice", "warning", "failure")
_DEPLOYMENT_STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")


def _only_apps(request: Request) -> None:
    if not request.account.is_installation:
        raise Problem(403, "You must authenticate via a GitHub App.")


@route("POST", REPO + "/check-runs", "checks:write")
def _new_check(request: Request) -> Response:
    _only_apps(request)
    state, sha = request.state, request.field("head_sha")
    if not bare.tip(state.git_path, sha):
        raise invalid("custom", message=f"No commit found for SHA: {sha}", resource="CheckRun")
    number = request.hub.next_id()
    run: Thing = {
        "id": number,
        "name": request.field("name"),
        "head_sha": sha,
        "status": "queued",
        "conclusion": None,
        "external_id": "",
        "details_url": None,
        "started_at": iso(request.hub.now()),
        "completed_at": None,
        "html_url": f"{request.hub.html_url}/{state.name}/runs/{number}",
        "app": {"slug": request.account.login.removesuffix("[bot]")},
        "output": {"title": None, "summary": None, "annotations_count": 0},
        "_annotations": [],
    }
    _update(request, run)
    state.check_runs.append(run)
    return Response(201, run)


@route("PATCH", REPO + "/check-runs/{id}", "checks:write")
def _edit_check(request: Request) -> Thing:
    _only_apps(request)
    run = _check_of(request)
    if run["app"]["slug"] != request.account.login.removesuffix("[bot]"):
        raise Problem(403, "Invalid app_id: the check run belongs to another App")
    _update(request, run)
    return run


@route("GET", REPO + "/check-runs/{id}", "checks:read")
def _read_check(request: Request) -> Thing:
    return _check_of(request)


@route("GET", REPO + "/check-runs/{id}/annotations", "checks:read")
def _annotations(request: Request) -> list[Thing]:
    return _check_of(request)["_annotations"]


@route("GET", REPO + "/commits/{ref}/check-runs", "checks:read")
def _checks(request: Request) -> Thing:
    state, name = request.state, request.query.get("check_name", "")
    sha = _commit(request)
    found = [run for run in state.check_runs if run["head_sha"] == sha and name in ("", run["name"])]
    if request.query.get("filter", "latest") == "latest":
        found = list({(run["name"], run["app"]["slug"]): run for run in found}.values())
    return {"total_count": len(found), "check_runs": found[::-1]}


def _update(request: Request, run: Thing) -> None:
    body = request.body
    output = body.get("output")
    if output is not None and (not output.get("title") or "summary" not in output):
        raise invalid("missing_field", "output", resource="CheckRun")
    annotations = (output or {}).get("annotations", [])
    if len(annotations) > 50:
        raise invalid("invalid", "annotations", "is too long (maximum is 50 items)", resource="CheckRun")
    for found in annotations:
        if found.get("annotation_level") not in _LEVELS or not found.get("message") or found.get("start_line", 0) < 1:
            raise invalid("invalid", "annotations", resource="CheckRun")
    if output and len(output["summary"]) > 65_535:
        raise invalid("invalid", "summary", "is too long (maximum is 65535 characters)", resource="CheckRun")
    if body.get("conclusion") is not None and body["conclusion"] not in _CONCLUSIONS:
        raise invalid("invalid", "conclusion", resource="CheckRun")
    if body.get("status") == "completed" and not body.get("conclusion"):
        raise invalid("missing_field", "conclusion", resource="CheckRun")
    run |= {k: body[k] for k in ("name", "status", "conclusion", "external_id", "details_url") if k in body}
    if body.get("conclusion"):
        run |= {"status": "completed", "completed_at": iso(request.hub.now())}
    if output:
        run["_annotations"] += annotations  # they only ever add up
        kept = {k: output[k] for k in ("title", "summary", "text") if k in output}
        run["output"] = run["output"] | kept | {"annotations_count": len(run["_annotations"])}


def _check_of(request: Request) -> Thing:
    found = next((run for run in request.state.check_runs if run["id"] == request.number("id")), None)
    if found is None:
        raise not_found()
    return found


def _commit(request: Request) -> str:
    sha = bare.tip(request.state.git_path, request.names["ref"])
    if not sha:
        raise Problem(422, f"No commit found for SHA: {request.names['ref']}")
    return sha


# -- commit statuses -----------------------------------------------------------------------------------------------


@route("POST", REPO + "/statuses/{ref}", "statuses:write")
def _new_status(request: Request) -> Response:
    sha = _commit(request)
    if request.field("state") not in ("error", "failure", "pending", "success"):
        raise invalid("invalid", "state", resource="Status")
    if len(request.body.get("description") or "") > 140:
        raise invalid("custom", "description", "description is too long (maximum is 140 characters)", resource="Status")
    if not str(request.body.get("target_url") or "http://").startswith(("http://", "https://")):
        raise invalid("custom", "target_url", "target_url must use http(s) scheme", resource="Status")
    made: Thing = {
        "id": request.hub.next_id(),
        "sha": sha,
        "state": request.body["state"],
        "context": request.body.get("context", "default"),
        "description": request.body.get("description"),
        "target_url": request.body.get("target_url"),
        "creator": request.hub.user(request.account.login),
        "created_at": iso(request.hub.now()),
    }
    request.state.statuses.append(made)
    return Response(201, made)


@route("GET", REPO + "/commits/{ref}/statuses", "statuses:read")
def _statuses(request: Request) -> list[Thing]:
    sha = _commit(request)
    return [found for found in reversed(request.state.statuses) if found["sha"] == sha]


@route("GET", REPO + "/commits/{ref}/status", "statuses:read")
def _combined(request: Request) -> Thing:
    sha = _commit(request)
    latest = list({found["context"]: found for found in request.state.statuses if found["sha"] == sha}.values())
    states = {found["state"] for found in latest}
    word = "failure" if states & {"error", "failure"} else "success" if states == {"success"} else "pending"
    return {"state": word, "sha": sha, "total_count": len(latest), "statuses": latest}


# -- deployments ---------------------------------------------------------------------------------------------------


@route("GET", REPO + "/deployments", "deployments:read")
def _deployments(request: Request) -> list[Thing]:
    asked = {k: v for k, v in request.query.items() if k in ("sha", "ref", "task", "environment")}
    return [d for d in reversed(request.state.deployments) if all(str(d[k]) == v for k, v in asked.items())]


@route("POST", REPO + "/deployments", "deployments:write")
def _new_deployment(request: Request) -> Response:
    state, body, ref = request.state, request.body, request.field("ref")
    sha = bare.tip(state.git_path, f"refs/heads/{ref}") or bare.tip(state.git_path, ref)
    if not sha:
        raise Problem(422, f"No ref found for: {ref}")
    default = f"refs/heads/{state.settings['default_branch']}"
    if body.get("auto_merge", True) and not bare.is_ancestor(state.git_path, bare.tip(state.git_path, default), sha):
        raise Problem(409, f"Conflict merging {default.removeprefix('refs/heads/')} into {ref}")
    contexts = body.get("required_contexts")
    red = [s["context"] for s in state.statuses if s["sha"] == sha and s["state"] != "success"]
    red += [
        r["name"] for r in state.check_runs if r["head_sha"] == sha and r["conclusion"] not in ("success", "neutral", "skipped")
    ]
    if bad := [name for name in red if contexts is None or name in contexts]:
        raise Problem(409, f"Conflict: Commit status checks failed for {ref}.", [{"contexts": bad}])
    number = request.hub.next_id()
    environment = body.get("environment", "production")
    made: Thing = {
        "id": number,
        "sha": sha,
        "ref": ref,
        "task": body.get("task", "deploy"),
        "payload": body.get("payload", {}),
        "environment": environment,
        "original_environment": environment,
        "description": body.get("description"),
        "transient_environment": bool(body.get("transient_environment")),
        "production_environment": bool(body.get("production_environment", environment == "production")),
        "creator": request.hub.user(request.account.login),
        "created_at": iso(request.hub.now()),
        "updated_at": iso(request.hub.now()),
        "url": f"{request.repo_url}/deployments/{number}",
        "statuses_url": f"{request.repo_url}/deployments/{number}/statuses",
    }
    state.deployments.append(made)
    return Response(201, made)


@route("GET", REPO + "/deployments/{id}", "deployments:read")
def _deployment(request: Request) -> Thing:
    return _deployment_of(request)


@route("GET", REPO + "/deployments/{id}/statuses", "deployments:read")
def _deployment_statuses(request: Request) -> list[Thing]:
    return request.state.statuses_of(_deployment_of(request)["id"])


@route("POST", REPO + "/deployments/{id}/statuses", "deployments:write")
def _new_deployment_status(request: Request) -> Response:
    deployment, body = _deployment_of(request), request.body
    if request.field("state") not in _DEPLOYMENT_STATES:
        raise invalid("invalid", "state", resource="DeploymentStatus")
    if len(body.get("description") or "") > 140:
        raise invalid("custom", "description", "is too long (maximum is 140 characters)", resource="DeploymentStatus")
    for name in ("log_url", "environment_url"):
        if body.get(name) and not str(body[name]).startswith(("http://", "https://")):
            raise invalid("custom", name, f"{name} must use http(s) scheme", resource="DeploymentStatus")
    made = _status(request, deployment, body["state"], body)
    request.state.deployment_statuses.append(made)
    if body["state"] == "success" and body.get("auto_inactive", True):
        for other in request.state.deployments:
            # Only earlier ones that are neither transient nor production: that one's user sees to himself.
            if other["environment"] != deployment["environment"] or other["id"] >= deployment["id"]:
                continue
            found = request.state.statuses_of(other["id"])
            if not other["transient_environment"] and not other["production_environment"] and _is_successful(found):
                request.state.deployment_statuses.append(_status(request, other, "inactive", {}))
    return Response(201, made)


def _is_successful(statuses: list[Thing]) -> bool:
    return bool(statuses) and statuses[0]["state"] == "success"


def _status(request: Request, deployment: Thing, word: str, body: Thing) -> Thing:
    return {
        "id": request.hub.next_id(),
        "state": word,
        "description": body.get("description", ""),
        "log_url": body.get("log_url", ""),
        "environment_url": body.get("environment_url", ""),
        "environment": deployment["environment"],
        "creator": request.hub.user(request.account.login),
        "created_at": iso(request.hub.now()),
        "deployment_url": deployment["url"],
    }


def _deployment_of(request: Request) -> Thing:
    state: State = request.state
    found = next((d for d in state.deployments if d["id"] == request.number("id")), None)
    if found is None:
        raise not_found()
    return found
