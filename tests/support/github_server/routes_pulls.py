"""Pull requests, reviews, issues, comments, labels, commits."""

from __future__ import annotations

from support.github_server import bare, deciding
from support.github_server.state import State, Thing, iso
from support.github_server.web import Problem, Request, Response, invalid, not_found, route

REPO = "/repos/{owner}/{repo}"
_ONLY_ALONE = ("merged", "mergeable", "mergeable_state", "merged_by")
"""Fields that lists leave out."""


@route("GET", REPO + "/pulls", "pull_requests:read")
def _list_pulls(request: Request) -> list[Thing]:
    state = _fresh(request)
    wanted, head, base = request.query.get("state", "open"), request.query.get("head", ""), request.query.get("base", "")
    found = [
        pull
        for pull in reversed(state.pulls.values())
        if wanted in ("all", pull["state"])
        # GitHub leaves a head without its owner out of account
        and (":" not in head or pull["head"]["label"] == head)
        and base in ("", pull["base"]["ref"])
    ]
    return [{k: v for k, v in pull.items() if k not in _ONLY_ALONE} for pull in found]


@route("POST", REPO + "/pulls", "pull_requests:write")
def _open(request: Request) -> Response:
    state = _fresh(request)
    title, head, base = request.field("title"), request.field("head"), request.field("base")
    body, draft = request.body.get("body") or "", bool(request.body.get("draft"))
    _fits(body)
    login = request.account.login
    return Response(
        201, deciding.open_pull(request.hub, state, login, head=head, base=base, title=title, body=body, draft=draft)
    )


@route("GET", REPO + "/pulls/{number}", "pull_requests:read")
def _read(request: Request) -> Thing:
    pull = deciding.pull_of(_fresh(request), request.number())
    if pull["state"] == "open":
        onto = bare.tip(request.state.git_path, f"refs/heads/{pull['base']['ref']}")
        pull["mergeable"] = bool(bare.merged_tree(request.state.git_path, onto, pull["head"]["sha"]))
        pull["mergeable_state"] = "clean" if pull["mergeable"] else "dirty"
    return pull


@route("PATCH", REPO + "/pulls/{number}", "pull_requests:write")
def _edit(request: Request) -> Thing:
    pull = deciding.pull_of(_fresh(request), request.number())
    if request.body.get("state") == "closed":
        deciding.close(request.hub, pull)
    elif request.body.get("state") == "open" and pull["state"] == "closed":
        if pull["merged"] or not bare.tip(pull["_source"].git_path, f"refs/heads/{pull['head']['ref']}"):
            raise invalid("invalid", "state", resource="PullRequest")
        pull |= {"state": "open", "closed_at": None}
    _fits(request.body.get("body") or "")
    pull |= {k: request.body[k] for k in ("title", "body") if k in request.body}
    if "base" in request.body:
        pull["base"] |= {"ref": request.body["base"], "label": f"{request.state.owner}:{request.body['base']}"}
    pull["updated_at"] = iso(request.hub.now())
    return pull


@route("GET", REPO + "/pulls/{number}/merge", "pull_requests:read")
def _is_merged(request: Request) -> Response:
    if not deciding.pull_of(_fresh(request), request.number())["merged"]:
        raise not_found()
    return Response(204)


@route("PUT", REPO + "/pulls/{number}/merge", "contents:write")
def _merge(request: Request) -> Thing:
    body = request.body or {}
    sha = deciding.merge(
        request.hub,
        _fresh(request),
        deciding.pull_of(request.state, request.number()),
        user=request.account.login,
        method=body.get("merge_method", "merge"),
        sha=body.get("sha", ""),
        title=body.get("commit_title", ""),
        text=body.get("commit_message", ""),
    )
    return {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}


@route("GET", REPO + "/pulls/{number}/reviews", "pull_requests:read")
def _reviews(request: Request) -> list[Thing]:
    deciding.pull_of(_fresh(request), request.number())
    return request.state.reviews_of(request.number())


@route("POST", REPO + "/pulls/{number}/reviews", "pull_requests:write")
def _review(request: Request) -> Thing:
    kinds = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
    kind = kinds.get(request.field("event"))
    if kind is None:
        raise invalid("invalid", "event")
    pull = deciding.pull_of(_fresh(request), request.number())
    return deciding.review(request.hub, request.state, pull, request.account.login, kind, request.body.get("body", ""))


@route("GET", REPO + "/pulls/{number}/files", "pull_requests:read")
def _files(request: Request) -> list[Thing]:
    pull = deciding.pull_of(_fresh(request), request.number())
    path = request.state.git_path
    onto = bare.git(path, "merge-base", pull["base"]["sha"], pull["head"]["sha"])
    words = {"A": "added", "M": "modified", "D": "removed"}
    lines = bare.git(path, "diff-tree", "-r", "--name-status", "--no-renames", onto, pull["head"]["sha"]).splitlines()
    return [{"filename": name, "status": words.get(kind, "changed")} for kind, name in (line.split("\t", 1) for line in lines)]


@route("GET", REPO + "/pulls/{number}/commits", "pull_requests:read")
def _pull_commits(request: Request) -> list[Thing]:
    pull = deciding.pull_of(_fresh(request), request.number())
    span = f"{pull['base']['sha']}..{pull['head']['sha']}"
    shas = bare.git(request.state.git_path, "rev-list", "--reverse", span).splitlines()
    return [_commit_of(request.state, sha) for sha in shas]


@route("GET", REPO + "/commits/{sha}/pulls", "pull_requests:read")
def _pulls_of_commit(request: Request) -> list[Thing]:
    state = _fresh(request)
    sha = bare.tip(state.git_path, request.names["sha"])
    if not sha:
        raise Problem(422, f"No commit found for SHA: {request.names['sha']}")
    found = []
    for pull in state.pulls.values():
        held = bare.git(state.git_path, "rev-list", f"{pull['base']['sha']}..{pull['head']['sha']}").splitlines()
        if pull["merge_commit_sha"] == sha or sha in held:
            found.append({k: v for k, v in pull.items() if k not in _ONLY_ALONE})
    return found


@route("GET", REPO + "/commits/{sha}", "contents:read")
def _commit(request: Request) -> Thing:
    sha = bare.tip(request.state.git_path, request.names["sha"])
    if not sha:
        raise Problem(422, f"No commit found for SHA: {request.names['sha']}")
    return _commit_of(request.state, sha)


@route("GET", REPO + "/compare/{span*}", "contents:read")
def _compare(request: Request) -> Thing:
    base, _, head = request.names["span"].partition("...")
    path = request.state.git_path
    if not bare.tip(path, base) or not bare.tip(path, head):
        raise not_found()
    ahead = int(bare.git(path, "rev-list", "--count", f"{base}..{head}"))
    behind = int(bare.git(path, "rev-list", "--count", f"{head}..{base}"))
    word = {(False, False): "identical", (True, False): "ahead", (False, True): "behind"}
    return {"status": word.get((bool(ahead), bool(behind)), "diverged"), "ahead_by": ahead, "behind_by": behind}


def _commit_of(state: State, sha: str) -> Thing:
    form = "%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cI%x00%B"
    found = bare.git(state.git_path, "show", "--no-patch", f"--format={form}", sha).split("\0")
    author = {"name": found[3], "email": found[4], "date": found[5]}
    return {
        "sha": found[0],
        "html_url": f"{state.settings['html_url']}/commit/{found[0]}",
        "parents": [{"sha": parent} for parent in found[2].split()],
        "commit": {
            "message": found[7].strip(),
            "tree": {"sha": found[1]},
            "author": author,
            "committer": author | {"date": found[6]},
        },
        "author": None,
    }


# -- refs ----------------------------------------------------------------------------------------------------------


@route("GET", REPO + "/git/ref/{ref*}", "contents:read")
def _ref(request: Request) -> Thing:
    ref = f"refs/{request.names['ref']}"
    sha = bare.git(request.state.git_path, "rev-parse", "--verify", "--quiet", ref, check=False)
    if not sha:
        raise not_found()
    kind = bare.git(request.state.git_path, "cat-file", "-t", sha)
    return {"ref": ref, "object": {"type": kind, "sha": sha}}


@route("DELETE", REPO + "/git/refs/{ref*}", "contents:write")
def _delete_ref(request: Request) -> Response:
    ref = f"refs/{request.names['ref']}"
    if not bare.tip(request.state.git_path, ref):
        raise Problem(422, "Reference does not exist")
    bare.git(request.state.git_path, "update-ref", "-d", ref)
    return Response(204)


# -- issues and comments -------------------------------------------------------------------------------------------


@route("GET", REPO + "/issues", "issues:read")
def _list_issues(request: Request) -> list[Thing]:
    state, wanted = _fresh(request), request.query.get("state", "open")
    labels = {label for label in request.query.get("labels", "").split(",") if label}
    every = [_as_issue(pull) for pull in state.pulls.values()] + list(state.issues.values())
    return [
        item
        for item in sorted(every, key=lambda i: -i["number"])
        if wanted in ("all", item["state"]) and labels <= {label["name"] for label in item["labels"]}
    ]


@route("POST", REPO + "/issues", "issues:write")
def _new_issue(request: Request) -> Response:
    state, title = request.state, request.field("title")
    _fits(request.body.get("body") or "")
    number, now = next(state.numbers), iso(request.hub.now())
    state.issues[number] = {
        "id": request.hub.next_id(),
        "number": number,
        "title": title,
        "body": request.body.get("body"),
        "state": "open",
        "state_reason": None,
        "user": request.hub.user(request.account.login),
        "labels": [{"name": label} for label in request.body.get("labels", [])],
        "created_at": now,
        "updated_at": now,
        "closed_at": None,
        "html_url": f"{request.hub.html_url}/{state.name}/issues/{number}",
        "url": f"{request.repo_url}/issues/{number}",
    }
    return Response(201, state.issues[number])


@route("GET", REPO + "/issues/{number}", "issues:read")
def _issue(request: Request) -> Thing:
    return _issue_of(request)


@route("PATCH", REPO + "/issues/{number}", "issues:write")
def _edit_issue(request: Request) -> Thing:
    _fits(request.body.get("body") or "")
    issue = request.state.issues.get(request.number()) or deciding.pull_of(request.state, request.number())
    issue |= {k: request.body[k] for k in ("title", "body", "state", "state_reason") if k in request.body}
    if "labels" in request.body:
        issue["labels"] = [{"name": label} for label in request.body["labels"]]
    issue["closed_at"] = iso(request.hub.now()) if issue["state"] == "closed" else None
    return issue


@route("GET", REPO + "/issues/{number}/comments", "issues|pull_requests:read")
def _comments(request: Request) -> list[Thing]:
    _issue_of(request)
    return request.state.comments_on(request.number())


@route("POST", REPO + "/issues/{number}/comments", "issues|pull_requests:write")
def _new_comment(request: Request) -> Response:
    body = request.field("body")
    return Response(201, deciding.comment(request.hub, request.state, request.number(), request.account.login, body))


@route("PATCH", REPO + "/issues/comments/{id}", "issues|pull_requests:write")
def _edit_comment(request: Request) -> Thing:
    found = next((c for c in request.state.comments if c["id"] == request.number("id")), None)
    if found is None:
        raise not_found()
    if request.account.is_installation and found["user"]["login"] != request.account.login:
        raise Problem(403, "Resource not accessible by integration")
    _fits(request.field("body"))
    found |= {"body": request.body["body"], "updated_at": iso(request.hub.now())}
    return found


@route("DELETE", REPO + "/issues/comments/{id}", "issues|pull_requests:write")
def _delete_comment(request: Request) -> Response:
    found = next((c for c in request.state.comments if c["id"] == request.number("id")), None)
    if found is None:
        raise not_found()
    request.state.comments.remove(found)
    return Response(204)


@route("POST", REPO + "/issues/{number}/labels", "issues|pull_requests:write")
def _add_labels(request: Request) -> list[Thing]:
    issue = request.state.issues.get(request.number()) or deciding.pull_of(request.state, request.number())
    for label in request.field("labels", list):
        if label not in [known["name"] for known in issue["labels"]]:
            issue["labels"].append({"name": label})
    return issue["labels"]


def _issue_of(request: Request) -> Thing:
    if request.number() in request.state.issues:
        return request.state.issues[request.number()]
    return _as_issue(deciding.pull_of(_fresh(request), request.number()))


def _as_issue(pull: Thing) -> Thing:
    kept = ("id", "number", "title", "body", "state", "user", "labels", "created_at", "updated_at", "closed_at", "html_url")
    return {k: pull[k] for k in kept} | {"pull_request": {"url": pull["url"], "merged_at": pull["merged_at"]}}


def _fits(body: str) -> None:
    if len(body) > 65_536:
        raise invalid("custom", "body", "body is too long (maximum is 65536 characters)")


def _fresh(request: Request) -> State:
    """The repository with its pull requests looked at anew."""
    deciding.refresh(request.hub, request.state)
    return request.state
