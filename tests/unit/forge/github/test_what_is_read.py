"""GitHub's answers as values: whole, as sparse as they come, and of a form that nobody knows."""

from __future__ import annotations

import pytest
from mlrelease.errors import Error
from mlrelease.forge.github import environments, pulls, releases
from mlrelease.forge.github.environments import EnvironmentSettings, Reviewed
from mlrelease.forge.github.errors import ForbiddenError, NotFoundError
from mlrelease.forge.github.pulls import PullRequest, Review
from mlrelease.forge.github.releases import Asset, Release
from mlrelease.http.dialect import Answer
from support.scripted_github import ScriptedGitHub

GONE = NotFoundError(404, "", "not there")
NO = ForbiddenError(403, "", "no")


# -- lists ---------------------------------------------------------------------------------------------------------


def page(value, following=""):
    return Answer(200, {"Link": following} if following else {}, value)


def test_pages_follow_the_links_that_github_gives():
    """With its parameters, which are not sent a second time; what is no object in a list is left out."""
    where = ScriptedGitHub().where
    link = f'<{where}/x?page=1>; rel="prev", <{where}/repositories/1/issues?page=2&a=b>; rel="next", <{where}/y>; rel="last"'
    github = ScriptedGitHub({
        "GET issues": page([{"id": 1}, "odd", None], link),
        "GET /repositories/1/issues?page=2&a=b": page([{"id": 2}], f'<{where}/z>; rel="first"'),
    })  # fmt: skip
    assert list(github.pages("issues", {"state": "open"})) == [{"id": 1}, {"id": 2}]
    assert [(call.path, call.params) for call in github.calls] == [
        ("issues", {"per_page": 100, "state": "open"}),
        ("/repositories/1/issues?page=2&a=b", {}),
    ]


@pytest.mark.parametrize(
    "url", ["https://evil.example/x", "https://api.github.example.evil.example/x", "http://api.github.example/x", "/x", "//x"]
)
def test_a_link_elsewhere_is_not_followed(url):
    """The token would go along."""
    github = ScriptedGitHub({"GET issues": page([{"id": 1}], f'<{url}>; rel="next"')})
    with pytest.raises(Error, match=r"names a foreign address for the next page$"):
        list(github.pages("issues"))
    assert len(github.calls) == 1


@pytest.mark.parametrize(
    ("value", "key", "items"),
    [
        ([{"a": 1}], "", [{"a": 1}]),
        ([{"a": 1}], "ignored", [{"a": 1}]),
        ({"total_count": 1, "check_runs": [{"a": 1}]}, "", [{"a": 1}]),
        ({"x": [{"a": 1}], "y": [{"b": 2}]}, "y", [{"b": 2}]),
        ({"x": [{"a": 1}], "y": [{"b": 2}]}, "", None),
        ({"x": [{"a": 1}]}, "y", None),
        ({"total_count": 0}, "", None),
        ({}, "", None),
        (None, "", None),
        ("text", "", None),
        (7, "", None),
    ],
)
def test_a_list_is_one_list(value, key, items):
    """What is none is not taken for an empty one: nothing found would be acted on."""
    github = ScriptedGitHub({"GET x": page(value)})
    if items is None:
        with pytest.raises(Error, match=r" answered with something else than a list$"):
            list(github.pages("x", key=key))
    else:
        assert list(github.pages("x", key=key)) == items


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://uploads.github.example.evil.example/x", "https://uploads.github.example.evil.example"),
        ("http://uploads.github.example/x", "http://uploads.github.example"),
        ("https://u:s3cret@evil.example/x?token=s3cret", "https://evil.example"),
        ("https://uploads.api.github.example/x", "https://uploads.api.github.example"),
    ],
)
def test_bytes_are_sent_to_no_foreign_address(url, shown):
    """Nor is what stands in it shown."""
    with pytest.raises(Error) as raised:
        ScriptedGitHub().upload(url, {"name": "a"}, b"x", "text/plain")
    assert raised.value.message.endswith(" names a foreign address for uploads")
    assert raised.value.where == shown


# -- what they are -------------------------------------------------------------------------------------------------


def test_an_environment_as_sparse_as_it_comes():
    """Nothing said is nothing held, but for the administrators, who may pass unless GitHub says no."""
    github = ScriptedGitHub({"GET environments/a%2Fb": {"name": "a/b"}, "GET environments/a%2Fb/secrets": NO})
    assert environments.read(github, "a/b") == EnvironmentSettings("a/b", (), 0, False, True, False, False, (), (), None, "")
    assert environments.read(ScriptedGitHub({"GET environments/x": GONE}), "x") is None
    assert environments.names(ScriptedGitHub({"GET environments": GONE})) == ()


def test_an_environment_with_every_rule():
    """Users and teams that review, branches and tags that may deploy."""
    reviewers = [
        {"type": "User", "reviewer": {"login": "ann"}},
        {"type": "Team", "reviewer": {"slug": "risk", "login": "x"}},
        {"type": "User", "reviewer": None},
    ]
    item = {
        "name": "prod",
        "html_url": "h",
        "can_admins_bypass": False,
        "protection_rules": [
            {"type": "required_reviewers", "reviewers": reviewers, "prevent_self_review": True},
            {"type": "wait_timer", "wait_timer": 30},
            {"type": "branch_policy"},
        ],
        "deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True},
    }
    policies = [{"name": "main"}, {"name": "release/*", "type": "branch"}, {"name": "v*", "type": "tag"}]
    github = ScriptedGitHub({
        "GET environments/prod": item,
        "GET environments/prod/deployment-branch-policies": {"total_count": 3, "branch_policies": policies},
        "GET environments/prod/secrets": {"total_count": 1, "secrets": [{"name": "KEY"}]},
    })  # fmt: skip
    people = ("ann", "team:risk", "")
    expected = EnvironmentSettings("prod", people, 30, True, False, True, False, ("main", "release/*"), ("v*",), ("KEY",), "h")
    assert environments.read(github, "prod") == expected


def test_decisions_of_people_in_a_run():
    """Of deleted accounts, too."""
    found = [
        {"user": {"login": "ann"}, "environments": [{"name": "a"}, {"name": "b"}], "state": "approved", "comment": "fine"},
        {"user": None},
    ]
    github = ScriptedGitHub({"GET actions/runs/7/approvals": found})
    assert environments.approvals(github, 7) == (Reviewed("ann", ("a", "b"), "approved", "fine"), Reviewed("", (), "", ""))


REPO = {"full_name": "acme/models"}
PULL = {"number": 3, "title": "T", "state": "closed", "html_url": "u", "body": None}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {}),
        ({"merged_at": "t", "merge_commit_sha": "m"}, {"merged": True, "merge_sha": "m"}),
        ({"merge_commit_sha": "trial"}, {}),
        ({"draft": True, "user": {"login": "ann"}, "labels": [{"name": "x"}]},
         {"is_draft": True, "author": "ann", "labels": ("x",)}),
        ({"user": None}, {}),
        ({"head": {"ref": "h", "sha": "s", "repo": None}}, {"is_fork": True}),
        ({"head": {"ref": "h", "sha": "s", "repo": {"full_name": "eve/models"}}}, {"is_fork": True}),
        ({"base": {"ref": "b", "sha": "z", "repo": REPO}}, {"base_sha": "z"}),
    ],
    ids=["sparse", "merged", "a trial merge of GitHub's", "a draft", "of a deleted account", "of a deleted fork", "of a fork",
         "with its base"],
)  # fmt: skip
def test_a_pull_request_is_read(more, expected):
    """The commit of a trial merge is none of the base."""
    item = PULL | {"head": {"ref": "h", "sha": "s", "repo": REPO}, "base": {"ref": "b", "repo": REPO}} | more
    plain = {"number": 3, "title": "T", "body": "", "state": "closed", "merged": False, "head_branch": "h", "head_sha": "s",
             "base_branch": "b", "html_url": "u", "author": "", "is_fork": False, "labels": ()}  # fmt: skip
    assert pulls.read(ScriptedGitHub({"GET pulls/3": item}), 3) == PullRequest(**(plain | expected))


def test_only_judgements_count_and_the_last_of_each_person():
    """A comment takes no approval back; a review that is not sent yet, and one of nobody, is none."""
    order = [("ann", "APPROVED"), ("bob", "APPROVED"), ("ann", "COMMENTED"), ("bob", "CHANGES_REQUESTED"),
             ("cy", "CHANGES_REQUESTED"), ("cy", "APPROVED"), ("di", "APPROVED"), ("di", "DISMISSED"),
             ("ed", "COMMENTED"), ("fay", "PENDING")]  # fmt: skip
    found = [{"user": {"login": who}, "state": state, "commit_id": None, "submitted_at": "t"} for who, state in order]
    github = ScriptedGitHub({"GET pulls/3/reviews": [*found, {"user": None, "state": "APPROVED"}]})
    assert pulls.approvers(github, 3) == ("ann", "cy")
    assert pulls.reviews(github, 3)[0] == Review("ann", "APPROVED", "", "t")
    assert len(pulls.reviews(github, 3)) == len(order) - 1


def test_a_release_as_sparse_as_it_comes():
    """The published one of a tag before its draft; an asset that broke off is not whole."""
    sparse = {"id": 1, "tag_name": "v1", "name": None, "body": None, "draft": True, "upload_url": "u{?n}", "html_url": "h"}
    broken = {"id": 2, "name": "a", "size": 0, "state": "starter"}
    github = ScriptedGitHub(
        {"GET releases": [sparse, sparse | {"tag_name": "v10"}, sparse | {"id": 5, "draft": False, "assets": [broken]}]}
    )
    assert releases.find(github, "v1") == Release(5, "v1", "", "", False, "u", "h", (Asset(2, "a", 0, "", False),))
    assert releases.find(github, "v10") == Release(1, "v10", "", "", True, "u", "h", ())
    assert releases.find(github, "v") is None
