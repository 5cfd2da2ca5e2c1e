"""The repository and its settings: rules, protection, environments, secrets' names, CODEOWNERS, permissions of Actions."""

from __future__ import annotations

import base64

from support.github_server import bare, deciding
from support.github_server.routes_pulls import REPO
from support.github_server.state import Thing, iso
from support.github_server.web import Problem, Request, Response, invalid, not_found, route

_RULES = (
    "creation", "update", "deletion", "required_linear_history", "required_deployments", "required_signatures", "pull_request",
    "required_status_checks", "non_fast_forward", "commit_message_pattern", "commit_author_email_pattern", "merge_queue",
    "committer_email_pattern", "branch_name_pattern", "tag_name_pattern", "workflows", "code_scanning", "file_path_restriction",
    "max_file_path_length", "file_extension_restriction", "max_file_size", "copilot_code_review",
)  # fmt: skip
_ACTORS = ("Integration", "OrganizationAdmin", "RepositoryRole", "Team", "DeployKey", "EnterpriseOwner")


@route("GET", "/user")
def _user(request: Request) -> Thing:
    if request.account.is_installation:
        raise Problem(403, "Resource not accessible by integration")
    return request.hub.user(request.account.login)


@route("POST", "/graphql")
def _graphql(request: Request) -> Thing:
    if "viewer" not in str(request.body.get("query")):
        return {"errors": [{"message": "the local GitHub answers `viewer` only"}]}
    return {"data": {"viewer": {"login": request.account.login}}}


@route("GET", "/meta")
def _meta(request: Request) -> Thing:
    return {"verifiable_password_authentication": False, "installed_version": "3.20.0"}


@route("GET", "/rate_limit")
def _rate_limit(request: Request) -> Thing:
    core = {"limit": 5000, "used": 1, "remaining": 4999, "reset": int(request.hub.now()) + 3600}
    return {"resources": {"core": core}, "rate": core}


@route("GET", REPO)
def _repository(request: Request) -> Thing:
    rights = {"admin": request.account.may("administration", "read"), "push": request.account.may("contents", "write")}
    return request.state.settings | {"permissions": rights | {"pull": True, "maintain": rights["admin"], "triage": True}}


@route("PATCH", REPO, "administration:write")
def _edit_repository(request: Request) -> Thing:
    request.state.settings |= request.body
    return request.state.settings


@route("GET", "/orgs/{org}")
def _organization(request: Request) -> Thing:
    return request.hub.user(request.names["org"]) | {"plan": {"name": "team"}}


@route("GET", "/users/{login}")
def _account(request: Request) -> Thing:
    return request.hub.user(request.names["login"])


@route("GET", REPO + "/collaborators/{login}/permission")
def _collaborator(request: Request) -> Thing:
    return {"permission": "write", "user": request.hub.user(request.names["login"])}


@route("GET", REPO + "/branches", "contents:read")
def _branches(request: Request) -> list[Thing]:
    refs = bare.git(request.state.git_path, "for-each-ref", "--format=%(refname:strip=2)", "refs/heads/").splitlines()
    return [_branch_of(request, name) for name in refs]


@route("GET", REPO + "/branches/{branch}", "contents:read")
def _branch(request: Request) -> Thing:
    return _branch_of(request, request.names["branch"])


def _branch_of(request: Request, name: str) -> Thing:
    sha = bare.tip(request.state.git_path, f"refs/heads/{name}")
    if not sha:
        raise Problem(404, "Branch not found")
    rules = deciding.rules_for(request.state, f"refs/heads/{name}")
    return {"name": name, "commit": {"sha": sha}, "protected": name in request.state.protections or bool(rules)}


@route("GET", REPO + "/branches/{branch}/protection", "administration:read")
def _protection(request: Request) -> Thing:
    if request.names["branch"] not in request.state.protections:
        raise Problem(404, "Branch not protected")
    return request.state.protections[request.names["branch"]]


@route("PUT", REPO + "/branches/{branch}/protection", "administration:write")
def _protect(request: Request) -> Thing:
    request.state.protections[request.names["branch"]] = request.body
    deciding.write_hook_rules(request.state)
    return request.body


@route("GET", REPO + "/rules/branches/{branch}")
def _rules(request: Request) -> list[Thing]:
    found = deciding.rules_for(request.state, f"refs/heads/{request.names['branch']}")
    source = {"ruleset_source_type": "Repository", "ruleset_source": request.state.name}
    return [rule | source | {"ruleset_id": ruleset["id"]} for ruleset, rule in found]


@route("GET", REPO + "/rulesets")
def _rulesets(request: Request) -> list[Thing]:
    short = ("id", "name", "target", "source_type", "source", "enforcement", "created_at", "updated_at")
    return [{k: ruleset[k] for k in short} for ruleset in request.state.rulesets.values()]


@route("GET", REPO + "/rulesets/{id}")
def _ruleset(request: Request) -> Thing:
    found = request.state.rulesets.get(request.number("id"))
    if found is None:
        raise not_found()
    # GitHub shows who may bypass only to those who may change the ruleset.
    return found if request.account.may("administration", "write") else {k: v for k, v in found.items() if k != "bypass_actors"}


@route("POST", REPO + "/rulesets", "administration:write")
def _new_ruleset(request: Request) -> Response:
    _is_ruleset(request)
    if any(known["name"] == request.body["name"] for known in request.state.rulesets.values()):
        raise invalid("custom", "name", "Name must be unique", resource="RepositoryRuleset")
    return Response(201, deciding.put_ruleset(request.hub, request.state, request.body))


@route("PUT", REPO + "/rulesets/{id}", "administration:write")
def _edit_ruleset(request: Request) -> Thing:
    before = request.state.rulesets.get(request.number("id"))
    if before is None:
        raise not_found()
    _is_ruleset(request)
    return deciding.put_ruleset(request.hub, request.state, before | request.body, request.number("id"))


@route("DELETE", REPO + "/rulesets/{id}", "administration:write")
def _delete_ruleset(request: Request) -> Response:
    if request.state.rulesets.pop(request.number("id"), None) is None:
        raise not_found()
    deciding.write_hook_rules(request.state)
    return Response(204)


def _is_ruleset(request: Request) -> None:
    """What the API refuses in a ruleset's body."""
    request.field("name")
    body = request.body
    if request.field("enforcement") not in ("active", "disabled", "evaluate") or body.get("target", "branch") not in (
        "branch",
        "tag",
        "push",
    ):
        raise invalid("invalid", "enforcement", resource="RepositoryRuleset")
    unknown = set(body) - {"name", "target", "enforcement", "bypass_actors", "conditions", "rules"}
    bad_rule = any(rule.get("type") not in _RULES for rule in body.get("rules", []))
    bad_actor = any(actor.get("actor_type") not in _ACTORS for actor in body.get("bypass_actors", []))
    names = (body.get("conditions") or {}).get("ref_name", {"include": [], "exclude": []})
    bad_ref = not {"include", "exclude"} <= set(names) or any(
        not ref.startswith(("refs/", "~")) for ref in names["include"] + names["exclude"]
    )
    if unknown or bad_rule or bad_actor or bad_ref:
        raise Problem(422, "Invalid request.\n\nFor 'properties/rules', the ruleset is not valid.")


@route("GET", REPO + "/codeowners/errors", "contents:read")
def _codeowners(request: Request) -> Thing:
    state = request.state
    ref = request.query.get("ref") or state.settings["default_branch"]
    places = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
    if not any(_there(request, ref, place) for place in places):
        raise not_found()
    return {"errors": state.codeowners_errors}


def _there(request: Request, ref: str, path: str) -> bool:
    return bool(bare.git(request.state.git_path, "ls-tree", "--name-only", ref, path, check=False))


@route("GET", REPO + "/contents/{path*}", "contents:read")
def _contents(request: Request) -> Thing:
    ref = request.query.get("ref") or request.state.settings["default_branch"]
    if not _there(request, ref, request.names["path"]):
        raise not_found()
    text = bare.git(request.state.git_path, "show", f"{ref}:{request.names['path']}") + "\n"
    return {
        "type": "file",
        "path": request.names["path"],
        "encoding": "base64",
        "sha": bare.git(request.state.git_path, "rev-parse", f"{ref}:{request.names['path']}"),
        "content": base64.b64encode(text.encode()).decode(),
    }


# -- environments --------------------------------------------------------------------------------------------------


@route("GET", REPO + "/environments", "actions:read")
def _environments(request: Request) -> Thing:
    found = list(request.state.environments.values())
    return {"total_count": len(found), "environments": found}


@route("GET", REPO + "/environments/{name}", "actions:read")
def _environment(request: Request) -> Thing:
    if request.names["name"] not in request.state.environments:
        raise not_found()
    return request.state.environments[request.names["name"]]


@route("PUT", REPO + "/environments/{name}", "administration:write")
def _put_environment(request: Request) -> Thing:
    body = request.body or {}
    reviewers = tuple(f"user-{found['id']}" for found in body.get("reviewers") or [])
    private = request.state.settings["private"] and request.state.settings.get("_plan") != "enterprise"
    if (reviewers or body.get("wait_timer")) and private:
        message = (
            "Failed to create the environment protection rule. Please ensure the billing plan supports the required reviewers"
        )
        raise Problem(422, f"{message} protection rule.")
    kept = {k: body[k] for k in ("prevent_self_review", "deployment_branch_policy", "can_admins_bypass") if k in body}
    hub, state, name = request.hub, request.state, request.names["name"]
    return deciding.put_environment(hub, state, name, reviewers, body.get("wait_timer") or 0, **kept)


@route("GET", REPO + "/environments/{name}/deployment-branch-policies", "actions:read")
def _branch_policies(request: Request) -> Thing:
    found = request.state.branch_policies.get(request.names["name"], [])
    return {"total_count": len(found), "branch_policies": found}


@route("POST", REPO + "/environments/{name}/deployment-branch-policies", "administration:write")
def _new_branch_policy(request: Request) -> Thing:
    made: Thing = {"id": request.hub.next_id(), "name": request.field("name"), "type": request.body.get("type", "branch")}
    request.state.branch_policies.setdefault(request.names["name"], []).append(made)
    return made


@route("GET", REPO + "/environments/{name}/secrets", "environments:read")
def _environment_secrets(request: Request) -> Thing:
    found = [_secret(request, name) for name in request.state.environment_secrets.get(request.names["name"], [])]
    return {"total_count": len(found), "secrets": found}


@route("PUT", REPO + "/environments/{name}/secrets/{secret}", "environments:write")
def _put_environment_secret(request: Request) -> Response:
    known = request.state.environment_secrets.setdefault(request.names["name"], [])
    if request.names["secret"] not in known:
        known.append(request.names["secret"])
    return Response(201, {})


@route("GET", REPO + "/environments/{name}/variables", "environments:read")
def _environment_variables(request: Request) -> Thing:
    known = request.state.environment_variables.get(request.names["name"], {})
    found = [{"name": name, "value": value} for name, value in known.items()]
    return {"total_count": len(found), "variables": found}


@route("GET", REPO + "/actions/secrets", "secrets:read")
def _secrets(request: Request) -> Thing:
    found = [_secret(request, name) for name in request.state.secrets]
    return {"total_count": len(found), "secrets": found}


@route("GET", REPO + "/actions/organization-secrets", "secrets:read")
def _organization_secrets(request: Request) -> Thing:
    return {"total_count": 0, "secrets": []}


def _secret(request: Request, name: str) -> Thing:
    moment = iso(request.hub.now())
    return {"name": name, "created_at": moment, "updated_at": moment}


@route("GET", REPO + "/actions/permissions", "administration:read")
def _actions_permissions(request: Request) -> Thing:
    return request.state.actions_permissions


@route("GET", REPO + "/actions/permissions/workflow", "administration:read")
def _workflow_permissions(request: Request) -> Thing:
    return request.state.workflow_permissions


@route("GET", REPO + "/immutable-releases", "administration:read")
def _immutable(request: Request) -> Thing:
    if not request.state.has_immutable_releases:
        raise not_found()
    return {"enabled": True, "enforced_by_owner": False}
