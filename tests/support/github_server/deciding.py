"""What GitHub decides: whether a pull request may be merged, what a branch's push does to it, which rules hold for a ref."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

from support.github_server import bare
from support.github_server.state import State, Thing, iso
from support.github_server.web import Problem, invalid, not_found

if TYPE_CHECKING:
    from support.github_server.hub import Hub

PASSING = ("success", "neutral", "skipped")


# -- pull requests -------------------------------------------------------------------------------------------------


def pull_of(state: State, number: int) -> Thing:
    if number not in state.pulls:
        raise not_found()
    return state.pulls[number]


def open_pull(hub: Hub, state: State, user: str, *, head: str, base: str, title: str, body: str, draft: bool = False) -> Thing:
    """A new pull request. Raises `Problem` (422) as GitHub does: one a pair of branches, and only with commits between."""
    owner, _, branch = head.rpartition(":")
    source = state if owner in ("", state.owner) else hub.known(f"{owner}/{state.settings['name']}", hub.accounts[hub.token])
    sha, base_sha = bare.tip(source.git_path, f"refs/heads/{branch}"), bare.tip(state.git_path, f"refs/heads/{base}")
    if not base_sha:
        raise invalid("invalid", "base", resource="PullRequest")
    if not sha:
        raise invalid("invalid", "head", resource="PullRequest")
    label = f"{source.owner}:{branch}"
    if any(p["state"] == "open" and p["head"]["label"] == label and p["base"]["ref"] == base for p in state.pulls.values()):
        raise invalid("custom", message=f"A pull request already exists for {label}.", resource="PullRequest")
    if source is not state:
        bare.fetch(state.git_path, source.git_path, f"refs/heads/{branch}")
    if bare.is_ancestor(state.git_path, sha, base_sha):
        raise invalid("custom", message=f"No commits between {base} and {branch}", resource="PullRequest")
    number = next(state.numbers)
    now = iso(hub.now())
    pull: Thing = {
        "id": hub.next_id(),
        "number": number,
        "state": "open",
        "title": title,
        "body": body,
        "draft": draft,
        "user": hub.user(user),
        "labels": [],
        "head": {"label": label, "ref": branch, "sha": sha, "repo": {"full_name": source.name, "id": source.id}},
        "base": {
            "label": f"{state.owner}:{base}",
            "ref": base,
            "sha": base_sha,
            "repo": {"full_name": state.name, "id": state.id},
        },
        "html_url": f"{hub.html_url}/{state.name}/pull/{number}",
        "url": f"{hub.api_url}/repos/{state.name}/pulls/{number}",
        "issue_url": f"{hub.api_url}/repos/{state.name}/issues/{number}",
        "merged": False,
        "merged_at": None,
        "merge_commit_sha": None,
        "merged_by": None,
        "closed_at": None,
        "created_at": now,
        "updated_at": now,
        "requested_reviewers": [],
        "_source": source,
    }
    state.pulls[number] = pull
    bare.set_ref(state.git_path, f"refs/pull/{number}/head", sha)
    return pull


def refresh(hub: Hub, state: State) -> None:
    """Open pull requests see what happened to their branches: pushed, deleted, or landed in the base by a push."""
    for pull in state.pulls.values():
        if pull["state"] != "open":
            continue
        base = bare.tip(state.git_path, f"refs/heads/{pull['base']['ref']}")
        sha = bare.tip(pull["_source"].git_path, f"refs/heads/{pull['head']['ref']}")
        if not sha:
            close(hub, pull)
            continue
        if sha != pull["head"]["sha"]:
            if pull["_source"] is not state:
                bare.fetch(state.git_path, pull["_source"].git_path, f"refs/heads/{pull['head']['ref']}")
            bare.set_ref(state.git_path, f"refs/pull/{pull['number']}/head", sha)
            pull["head"]["sha"], pull["updated_at"] = sha, iso(hub.now())
        if base and base != pull["base"]["sha"] and bare.is_ancestor(state.git_path, sha, base):
            _merged(hub, pull, sha, "owner")


def close(hub: Hub, pull: Thing) -> None:
    if pull["state"] == "open":
        pull["state"] = "closed"
        pull["closed_at"] = pull["updated_at"] = iso(hub.now())


def merge(
    hub: Hub, state: State, pull: Thing, *, user: str, method: str, sha: str = "", title: str = "", text: str = ""
) -> str:
    """The new commit on the base. Raises `Problem` with the statuses that GitHub documents: 405 not allowed, 409 moved."""
    if pull["state"] != "open" or pull["draft"]:
        raise Problem(405, "Pull Request is not mergeable")
    head, base = pull["head"]["sha"], pull["base"]["ref"]
    if sha and sha != head:
        raise Problem(409, "Head branch was modified. Review and try the merge again.")
    if (
        method not in ("squash", "merge")
        or not state.settings[f"allow_{'squash_merge' if method == 'squash' else 'merge_commit'}"]
    ):
        raise Problem(405, f"{method.capitalize()} merges are not allowed on this repository.")
    if unmet := unmet_rules(state, pull, method):
        raise Problem(405, "Repository rule violations found\n\n" + "\n\n".join(unmet))
    onto = bare.tip(state.git_path, f"refs/heads/{base}")
    tree = bare.merged_tree(state.git_path, onto, head)
    if not tree:
        raise Problem(405, "Pull Request is not mergeable")
    number = pull["number"]
    if method == "squash":
        message, parents = f"{title or pull['title'] + f' (#{number})'}\n\n{text}".strip(), [onto]
        author = pull["user"]["login"]
    else:
        source = f"{pull['head']['label'].replace(':', '/')}"
        message = f"{title or f'Merge pull request #{number} from {source}'}\n\n{text or pull['title']}"
        parents, author = [onto, head], user
    new = bare.commit(state.git_path, tree, parents, message + "\n", author)
    bare.set_ref(state.git_path, f"refs/heads/{base}", new, onto)
    _merged(hub, pull, new, user)
    if state.settings["delete_branch_on_merge"] and pull["_source"] is state:
        bare.git(state.git_path, "update-ref", "-d", f"refs/heads/{pull['head']['ref']}")
    return new


def _merged(hub: Hub, pull: Thing, sha: str, user: str) -> None:
    now = iso(hub.now())
    pull |= {"state": "closed", "merged": True, "merged_at": now, "closed_at": now, "updated_at": now}
    pull |= {"merge_commit_sha": sha, "merged_by": hub.user(user)}


def review(hub: Hub, state: State, pull: Thing, user: str, kind: str, body: str) -> Thing:
    if kind == "APPROVED" and user == pull["user"]["login"]:
        raise Problem(422, "Unprocessable Entity", ["Can not approve your own pull request"])
    made: Thing = {
        "id": hub.next_id(),
        "user": hub.user(user),
        "body": body,
        "state": kind,
        "commit_id": pull["head"]["sha"],
        "submitted_at": iso(hub.now()),
        "pull_request_url": pull["url"],
        "html_url": f"{pull['html_url']}#pullrequestreview",
    }
    state.reviews.append(made)
    return made


def comment(hub: Hub, state: State, number: int, user: str, body: str) -> Thing:
    if number not in state.issues and number not in state.pulls:
        raise not_found()
    if len(body) > 65_536:
        raise invalid("unprocessable", "data", "Body is too long (maximum is 65536 characters)", resource="IssueComment")
    identity = hub.next_id()
    made: Thing = {
        "id": identity,
        "user": hub.user(user),
        "body": body,
        "created_at": iso(hub.now()),
        "updated_at": iso(hub.now()),
        "issue_url": f"{hub.api_url}/repos/{state.name}/issues/{number}",
        "url": f"{hub.api_url}/repos/{state.name}/issues/comments/{identity}",
        "html_url": f"{hub.html_url}/{state.name}/issues/{number}#issuecomment-{identity}",
    }
    state.comments.append(made)
    return made


# -- rules ---------------------------------------------------------------------------------------------------------


def rules_for(state: State, ref: str) -> list[tuple[Thing, Thing]]:
    """The active (ruleset, rule) pairs that hold for a ref, as `GET …/rules/branches/…` sees them."""
    return [
        (ruleset, rule)
        for ruleset in state.rulesets.values()
        if ruleset["enforcement"] == "active" and _covers(state, ruleset, ref)
        for rule in ruleset["rules"]
    ]


def _covers(state: State, ruleset: Thing, ref: str) -> bool:
    if not ref.startswith("refs/tags/" if ruleset["target"] == "tag" else "refs/heads/"):
        return False
    condition = ruleset.get("conditions", {}).get("ref_name", {"include": ["~ALL"], "exclude": []})

    def matches(globs: list[str]) -> bool:
        return any(fnmatch.fnmatchcase(ref, glob) for glob in _globs(state, globs, ruleset["target"]))

    return matches(condition["include"]) and not matches(condition.get("exclude", []))


def _globs(state: State, globs: list[str], target: str) -> list[str]:
    kind = "tags" if target == "tag" else "heads"
    special = {"~ALL": f"refs/{kind}/*", "~DEFAULT_BRANCH": f"refs/heads/{state.settings['default_branch']}"}
    return [special.get(glob, glob).replace("**", "*") for glob in globs]


def unmet_rules(state: State, pull: Thing, method: str) -> list[str]:
    """What a merge lacks, in GitHub's words; empty when it may be done."""
    ref, head = f"refs/heads/{pull['base']['ref']}", pull["head"]["sha"]
    wanted, stale, contexts, strict = 0, False, set(), False
    for _, rule in rules_for(state, ref):
        parameters = rule.get("parameters", {})
        if rule["type"] == "pull_request":
            wanted = max(wanted, parameters.get("required_approving_review_count", 0))
            stale |= bool(parameters.get("dismiss_stale_reviews_on_push"))
            if method not in parameters.get("allowed_merge_methods", ["squash", "merge"]):
                return [f"Merge method {method} is not allowed"]
        if rule["type"] == "required_status_checks":
            contexts |= {check["context"] for check in parameters["required_status_checks"]}
            strict |= bool(parameters.get("strict_required_status_checks_policy"))
    if classic := state.protections.get(pull["base"]["ref"]):
        reviews = classic.get("required_pull_request_reviews") or {}
        wanted = max(wanted, reviews.get("required_approving_review_count", 0))
        contexts |= set((classic.get("required_status_checks") or {}).get("contexts", []))
    latest: dict[str, Thing] = {}
    for found in state.reviews_of(pull["number"]):
        if found["state"] != "COMMENTED":
            latest[found["user"]["login"]] = found
    approvals = sum(r["state"] == "APPROVED" and (not stale or r["commit_id"] == head) for r in latest.values())
    unmet = []
    if wanted and any(r["state"] == "CHANGES_REQUESTED" for r in latest.values()):
        unmet.append("Changes have been requested.")
    if approvals < wanted:
        noun = "review is" if wanted == 1 else "reviews are"
        unmet.append(f"At least {wanted} approving {noun} required by reviewers with write access.")
    unmet += [
        f'Required status check "{context}" is {how}.'
        for context in sorted(contexts)
        if (how := _standing(state, head, context))
    ]
    onto = bare.tip(state.git_path, ref)
    if strict and not bare.is_ancestor(state.git_path, onto, head):
        unmet.append("This branch must not be behind its base.")
    return unmet


def _standing(state: State, sha: str, context: str) -> str:
    """Empty for a check that passed; else GitHub's word."""
    runs = [run for run in state.check_runs if run["head_sha"] == sha and run["name"] == context]
    statuses = [found for found in state.statuses if found["sha"] == sha and found["context"] == context]
    if not runs and not statuses:
        return "expected"
    if runs and (runs[-1]["status"] != "completed" or runs[-1]["conclusion"] not in PASSING):
        return "in progress" if runs[-1]["status"] != "completed" else "failing"
    if statuses and statuses[-1]["state"] != "success":
        return "pending" if statuses[-1]["state"] == "pending" else "failing"
    return ""


def put_ruleset(hub: Hub, state: State, body: Thing, number: int = 0) -> Thing:
    """Creates or replaces a ruleset, and tells the bare repository's hook."""
    number = number or hub.next_id()
    state.rulesets[number] = {
        "id": number,
        "target": "branch",
        "source_type": "Repository",
        "source": state.name,
        "bypass_actors": [],
        "conditions": {"ref_name": {"include": ["~ALL"], "exclude": []}},
        "rules": [],
        "created_at": iso(hub.now()),
        "updated_at": iso(hub.now()),
    } | body
    write_hook_rules(state)
    return state.rulesets[number]


def write_hook_rules(state: State) -> None:
    """The rules that a push can break, one a line: rule, who may pass, glob. Excludes are left to the API's answers."""
    lines = []
    for ruleset in state.rulesets.values():
        if ruleset["enforcement"] != "active":
            continue
        actors = ",".join(ruleset.get("_bypass", [])) or "-"
        globs = _globs(state, ruleset["conditions"]["ref_name"]["include"], ruleset["target"])
        lines += [f"{rule['type']} {actors} {glob}" for rule in ruleset["rules"] for glob in globs]
    for branch, protection in state.protections.items():
        glob = f"refs/heads/{branch}"
        lines += [f"non_fast_forward - {glob}", f"deletion - {glob}"]
        if protection.get("required_pull_request_reviews"):
            lines.append(f"pull_request - {glob}")
    (state.git_path / "rules").write_text("".join(f"{line}\n" for line in lines))


# -- environments and runs -----------------------------------------------------------------------------------------


def put_environment(hub: Hub, state: State, name: str, reviewers: tuple[str, ...], wait_timer: int, **settings: Any) -> Thing:
    """An environment in GitHub's form, its protection rules as the API lists them."""
    rules: list[Thing] = []
    if wait_timer:
        rules.append({"id": hub.next_id(), "type": "wait_timer", "wait_timer": wait_timer})
    if reviewers:
        people = [{"type": "User", "reviewer": hub.user(login)} for login in reviewers]
        self_review = bool(settings.get("prevent_self_review"))
        rules.append(
            {"id": hub.next_id(), "type": "required_reviewers", "prevent_self_review": self_review, "reviewers": people}
        )
    policy, branches = settings.get("deployment_branch_policy"), tuple(settings.get("branches", ()))
    if branches:
        policy = {"protected_branches": False, "custom_branch_policies": True}
        state.branch_policies[name] = [
            {"id": hub.next_id(), "name": b, "type": "tag" if b.startswith("v") else "branch"} for b in branches
        ]
    if policy:
        rules.append({"id": hub.next_id(), "type": "branch_policy"})
    before = state.environments.get(name, {})
    state.environments[name] = {
        "id": before.get("id") or hub.next_id(),
        "name": name,
        "url": f"{hub.api_url}/repos/{state.name}/environments/{name}",
        "html_url": f"{hub.html_url}/{state.name}/deployments/activity_log?environments_filter={name}",
        "created_at": before.get("created_at") or iso(hub.now()),
        "updated_at": iso(hub.now()),
        "can_admins_bypass": bool(settings.get("can_admins_bypass", True)),
        "protection_rules": rules,
        "deployment_branch_policy": policy,
    }
    return state.environments[name]


def add_run(hub: Hub, state: State, *, workflow: str, event: str, sha: str, **fields: Any) -> Thing:
    number = hub.next_id()
    known = next((w for w in state.workflows if w["path"].endswith(f"/{workflow}")), None)
    if known is None:
        known = add_workflow(hub, state, workflow)
    branch = fields.pop("branch", state.settings["default_branch"])
    state.runs[number] = {
        "id": number,
        "name": known["name"],
        "workflow_id": known["id"],
        "path": known["path"],
        "event": event,
        "status": "in_progress",
        "conclusion": None,
        "head_branch": branch,
        "head_sha": sha or bare.tip(state.git_path, f"refs/heads/{branch}"),
        "run_number": len(state.runs) + 1,
        "run_attempt": 1,
        "actor": hub.user(fields.pop("actor", "ann")),
        "created_at": iso(hub.now()),
        "updated_at": iso(hub.now()),
        "run_started_at": iso(hub.now()),
        "html_url": f"{hub.html_url}/{state.name}/actions/runs/{number}",
    } | fields
    return state.runs[number]


def add_workflow(hub: Hub, state: State, file: str, **fields: Any) -> Thing:
    made: Thing = {
        "id": hub.next_id(),
        "name": file.rpartition(".")[0],
        "path": f".github/workflows/{file}",
        "state": "active",
        "created_at": iso(hub.now()),
        "updated_at": iso(hub.now()),
        "html_url": f"{hub.html_url}/{state.name}/blob/main/.github/workflows/{file}",
    } | fields
    state.workflows.append(made)
    return made
