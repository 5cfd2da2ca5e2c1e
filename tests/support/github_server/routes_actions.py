"""Workflows, runs and their approvals, dispatches, releases with assets, and Apps."""

from __future__ import annotations

import hashlib

from support.github_server import bare
from support.github_server.routes_pulls import REPO
from support.github_server.state import Thing, iso
from support.github_server.web import Problem, Request, Response, invalid, not_found, route


@route("GET", REPO + "/actions/workflows", "actions:read")
def _workflows(request: Request) -> Thing:
    return {"total_count": len(request.state.workflows), "workflows": request.state.workflows}


@route("GET", REPO + "/actions/workflows/{file}", "actions:read")
def _workflow(request: Request) -> Thing:
    return _workflow_of(request)


@route("GET", REPO + "/actions/workflows/{file}/runs", "actions:read")
def _workflow_runs(request: Request) -> Thing:
    return _runs_of(request, _workflow_of(request)["id"])


@route("GET", REPO + "/actions/runs", "actions:read")
def _runs(request: Request) -> Thing:
    return _runs_of(request, None)


@route("GET", REPO + "/actions/runs/{id}", "actions:read")
def _run(request: Request) -> Thing:
    return _run_of(request)


@route("GET", REPO + "/actions/runs/{id}/approvals", "actions:read")
def _approvals(request: Request) -> list[Thing]:
    return request.state.approvals.get(_run_of(request)["id"], [])


@route("GET", REPO + "/actions/runs/{id}/pending_deployments", "actions:read")
def _pending(request: Request) -> list[Thing]:
    run = _run_of(request)
    done = {e["name"] for approval in request.state.approvals.get(run["id"], []) for e in approval["environments"]}
    waiting = [e for e in request.state.environments.values() if _reviewers(e) and e["name"] not in done]
    login = request.account.login
    return [
        {
            "environment": {"id": e["id"], "name": e["name"]},
            "wait_timer": 0,
            "current_user_can_approve": login in {r["reviewer"]["login"] for r in _reviewers(e)},
            "reviewers": _reviewers(e),
        }
        for e in waiting
        if run["status"] == "waiting"
    ]


@route("POST", REPO + "/actions/runs/{id}/pending_deployments", "deployments:write")
def _approve(request: Request) -> list[Thing]:
    run = _run_of(request)
    if request.account.is_installation:
        raise Problem(403, "Resource not accessible by integration")
    wanted = request.field("environment_ids", list)
    names = [e["name"] for e in request.state.environments.values() if e["id"] in wanted]
    for name in names:
        request.hub.approve_run(
            request.state.name,
            run["id"],
            name,
            request.account.login,
            comment=request.field("comment"),
            state=request.field("state"),
        )
    return []


def _reviewers(environment: Thing) -> list[Thing]:
    return [r for rule in environment["protection_rules"] for r in rule.get("reviewers", [])]


def _runs_of(request: Request, workflow: int | None) -> Thing:
    asked = {k: v for k, v in request.query.items() if k in ("event", "head_sha", "status")}
    found = [
        run
        for run in reversed(request.state.runs.values())
        if workflow in (None, run["workflow_id"])
        and request.query.get("branch") in (None, run["head_branch"])
        # `status` means the status or the conclusion
        and all(v == run[k] or (k == "status" and v == run["conclusion"]) for k, v in asked.items())
    ]
    return {"total_count": len(found), "workflow_runs": found}


def _workflow_of(request: Request) -> Thing:
    name = request.names["file"]
    for found in request.state.workflows:
        if name in (str(found["id"]), found["path"].rpartition("/")[2]):
            return found
    raise not_found()


def _run_of(request: Request) -> Thing:
    if request.number("id") not in request.state.runs:
        raise not_found()
    return request.state.runs[request.number("id")]


@route("POST", REPO + "/actions/workflows/{file}/dispatches", "actions:write")
def _dispatch_workflow(request: Request) -> Response:
    file, ref, inputs = request.names["file"], request.field("ref"), request.body.get("inputs", {})
    if not bare.tip(request.state.git_path, ref):
        raise Problem(422, f"No ref found for: {ref}")
    if request.state.workflows:
        _workflow_of(request)
    if len(inputs) > 25 or any(not isinstance(value, str | bool | int | float) for value in inputs.values()):
        raise Problem(422, "Invalid inputs provided")
    request.state.dispatches.append({"workflow": file, "ref": ref, "inputs": inputs, "by": request.account.login})
    return Response(204)


@route("POST", REPO + "/dispatches", "contents:write")
def _dispatch_repository(request: Request) -> Response:
    event, payload = request.field("event_type"), request.body.get("client_payload", {})
    if len(event) > 100 or len(payload) > 10:
        raise Problem(422, "No more than 10 properties are allowed; 11 were supplied.")
    request.state.dispatches.append({"event_type": event, "client_payload": payload, "by": request.account.login})
    return Response(204)


# -- releases ------------------------------------------------------------------------------------------------------


@route("GET", REPO + "/releases", "contents:read")
def _releases(request: Request) -> list[Thing]:
    may_push = request.account.may("contents", "write")  # drafts are shown to those alone
    return [release for release in reversed(request.state.releases) if may_push or not release["draft"]]


@route("POST", REPO + "/releases", "contents:write")
def _new_release(request: Request) -> Response:
    state, body, tag = request.state, request.body, request.field("tag_name")
    draft = bool(body.get("draft"))
    if not draft and any(r["tag_name"] == tag and not r["draft"] for r in state.releases):
        raise invalid("already_exists", "tag_name", resource="Release")
    number = request.hub.next_id()
    made: Thing = {
        "id": number,
        "tag_name": tag,
        "target_commitish": body.get("target_commitish") or state.settings["default_branch"],
        "name": body.get("name"),
        "body": body.get("body"),
        "draft": draft,
        "prerelease": bool(body.get("prerelease")),
        "immutable": False,
        "created_at": iso(request.hub.now()),
        "published_at": None,
        "author": request.hub.user(request.account.login),
        # A draft's page has a name of its own until it is published.
        "html_url": f"{request.hub.html_url}/{state.name}/releases/tag/{f'untagged-{number}' if draft else tag}",
        "url": f"{request.repo_url}/releases/{number}",
        "upload_url": f"{_uploads(request)}/repos/{state.name}/releases/{number}/assets{{?name,label}}",
        "assets": [],
    }
    if not draft:
        _publish(request, made)
    state.releases.append(made)
    return Response(201, made)


def _uploads(request: Request) -> str:
    root = request.root
    return f"{root.removesuffix('/api/v3')}/api/uploads" if root.endswith("/api/v3") else root


@route("GET", REPO + "/releases/latest", "contents:read")
def _latest(request: Request) -> Thing:
    found = [r for r in request.state.releases if not r["draft"] and not r["prerelease"]]
    if not found:
        raise not_found()
    return found[-1]


@route("GET", REPO + "/releases/tags/{tag*}", "contents:read")
def _by_tag(request: Request) -> Thing:
    # Drafts are not found by their tag.
    found = next((r for r in request.state.releases if r["tag_name"] == request.names["tag"] and not r["draft"]), None)
    if found is None:
        raise not_found()
    return found


@route("GET", REPO + "/releases/{id}", "contents:read")
def _release(request: Request) -> Thing:
    return _release_of(request)


@route("PATCH", REPO + "/releases/{id}", "contents:write")
def _edit_release(request: Request) -> Thing:
    release = _release_of(request)
    if release["immutable"] and set(request.body) - {"body", "name", "prerelease", "make_latest"}:
        raise Problem(422, "Cannot change an immutable release")
    was_draft = release["draft"]
    release |= {
        k: request.body[k] for k in ("tag_name", "target_commitish", "name", "body", "prerelease", "draft") if k in request.body
    }
    if was_draft and not release["draft"]:
        _publish(request, release)
    return release


@route("DELETE", REPO + "/releases/{id}", "contents:write")
def _delete_release(request: Request) -> Response:
    request.state.releases.remove(_release_of(request))
    return Response(204)


@route("GET", REPO + "/releases/{id}/assets", "contents:read")
def _assets(request: Request) -> list[Thing]:
    return _release_of(request)["assets"]


@route("POST", REPO + "/releases/{id}/assets", "contents:write")
def _upload(request: Request) -> Response:
    release, name = _release_of(request), request.query.get("name", "")
    if not name:
        raise invalid("missing_field", "name", resource="ReleaseAsset")
    if any(asset["name"] == name for asset in release["assets"]):
        raise invalid("already_exists", "name", resource="ReleaseAsset")
    if release["immutable"]:
        raise Problem(422, "Cannot upload assets to an immutable release.")
    number = request.hub.next_id()
    asset: Thing = {
        "id": number,
        "name": name,
        "label": request.query.get("label", ""),
        "state": "uploaded",
        "content_type": request.headers.get("Content-Type", ""),
        "size": len(request.raw),
        "digest": f"sha256:{hashlib.sha256(request.raw).hexdigest()}",
        "url": f"{request.repo_url}/releases/assets/{number}",
        "browser_download_url": f"{request.hub.html_url}/{request.state.name}/releases/download/{release['tag_name']}/{name}",
    }
    request.state.asset_bytes[number] = request.raw
    release["assets"].append(asset)
    return Response(201, asset)


@route("GET", REPO + "/releases/assets/{id}", "contents:read")
def _asset(request: Request) -> Response | Thing:
    _, asset = _asset_of(request)
    if "octet-stream" in request.headers.get("Accept", ""):
        return Response(200, request.state.asset_bytes[asset["id"]])
    return asset


@route("DELETE", REPO + "/releases/assets/{id}", "contents:write")
def _delete_asset(request: Request) -> Response:
    release, asset = _asset_of(request)
    if release["immutable"]:
        raise Problem(422, "Cannot delete assets of an immutable release.")
    release["assets"].remove(asset)
    return Response(204)


def _publish(request: Request, release: Thing) -> None:
    """A published release makes its tag where there is none."""
    state, tag = request.state, release["tag_name"]
    if not bare.tip(state.git_path, f"refs/tags/{tag}"):
        target = release["target_commitish"]
        sha = bare.tip(state.git_path, f"refs/heads/{target}") or bare.tip(state.git_path, target)
        if not sha:
            raise invalid("invalid", "target_commitish", resource="Release")
        bare.set_ref(state.git_path, f"refs/tags/{tag}", sha)
    release |= {
        "published_at": iso(request.hub.now()),
        "html_url": f"{request.hub.html_url}/{state.name}/releases/tag/{tag}",
        "immutable": state.has_immutable_releases,
    }


def _release_of(request: Request) -> Thing:
    found = next((r for r in request.state.releases if r["id"] == request.number("id")), None)
    if found is None:
        raise not_found()
    return found


def _asset_of(request: Request) -> tuple[Thing, Thing]:
    for release in request.state.releases:
        for asset in release["assets"]:
            if asset["id"] == request.number("id"):
                return release, asset
    raise not_found()


# -- Apps ----------------------------------------------------------------------------------------------------------


@route("GET", "/app")
def _app(request: Request) -> Thing:
    if request.account.kind != "jwt" or request.account.app is None:
        raise Problem(401, "A JSON web token could not be decoded")
    return {"id": int(request.account.app.app_id), "slug": request.account.app.slug}


@route("GET", REPO + "/installation")
def _installation(request: Request) -> Thing:
    if request.account.kind != "jwt" or request.account.app is None:
        raise Problem(401, "A JSON web token could not be decoded")
    return {"id": request.account.app.installation, "app_slug": request.account.app.slug}


@route("POST", "/app/installations/{id}/access_tokens")
def _access_token(request: Request) -> Response:
    app = request.account.app
    if request.account.kind != "jwt" or app is None or app.installation != request.number("id"):
        raise not_found()
    until = request.hub.now() + 3600
    login = f"{app.slug}[bot]"
    token = request.hub.make_token(login, kind="app", permissions=app.permissions, until=until, app=app)
    app.tokens_made += 1
    return Response(201, {"token": token, "expires_at": iso(until), "permissions": app.permissions or {}})
