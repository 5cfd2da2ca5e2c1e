"""Releases: a draft, assets, published, each once; and starting workflows."""

from __future__ import annotations

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge.github import releases
from mlrelease.forge.github.errors import ForbiddenError, InvalidError, NotFoundError
from mlrelease.http.errors import MaybeDoneError
from support.github_desk import client, desk
from support.github_server import Fault, lost, reset, truncated

TAG = "v1.2.0"
RECORD = b"schema: 1\nversion: 1.2.0\n"


def draft(at, *, body="notes", name=TAG):
    """The draft of a release of main."""
    return releases.draft(at.github, tag=TAG, name=name, body=body, target=at.main)


def attach(at, release, data=RECORD, name="v1.2.0.yaml"):
    """The record as an asset."""
    return releases.upload(at.github, release, name, data, "application/yaml")


def whole(at):
    """The steps of a release, as a verb makes them."""
    release = draft(at)
    attach(at, release)
    attach(at, release, b"abc  v1.2.0.yaml\n", "v1.2.0.yaml.sha256")
    return releases.publish(at.github, release.id)


def is_whole(at):
    """Whether there is one published release with both assets, and its tag."""
    (only,) = at.state.releases
    names = [asset["name"] for asset in only["assets"]]
    tag = at.github.get(f"git/ref/tags/{TAG}")["object"]["sha"]
    return (only["draft"], names, tag) == (False, ["v1.2.0.yaml", "v1.2.0.yaml.sha256"], at.main)


def test_a_release_is_made_step_by_step(at):
    """The tag comes with the publishing, at the commit that was named."""
    release = draft(at)
    assert (release.draft, release.tag, release.body, release.assets) == (True, TAG, "notes", ())
    assert releases.find(at.github, TAG) == release
    with pytest.raises(NotFoundError):
        at.github.get(f"git/ref/tags/{TAG}")
    published = whole(at)
    assert (published.id, published.draft) == (release.id, False)
    assert is_whole(at)
    assert at.state.asset_bytes[published.assets[0].id] == RECORD


def test_all_of_it_again_changes_nothing(at):
    """A re-run of the job."""
    whole(at)
    before = [(c.method, c.path) for c in at.hub.calls if c.method != "GET"]
    whole(at)
    assert [(c.method, c.path) for c in at.hub.calls if c.method != "GET"] == before


def test_a_draft_that_is_there_gets_the_new_text(at):
    """A half-made release is completed."""
    draft(at, body="old")
    assert draft(at, body="new").body == "new"
    assert len(at.state.releases) == 1


def test_a_published_one_is_not_changed_by_a_draft(at):
    """It is given back as it is."""
    whole(at)
    assert draft(at, body="other").body == "notes"
    assert is_whole(at)


def test_a_draft_is_found_though_github_finds_none_by_tag(at):
    """Also behind a hundred other releases."""
    release = draft(at)
    for n in range(101):
        at.github.post("releases", {"tag_name": f"x{n}", "draft": True})
    assert releases.find(at.github, TAG) == release
    assert releases.find(at.github, "v9") is None


def test_the_published_one_counts_where_there_is_a_draft_too(at):
    """Somebody clicked."""
    whole(at)
    at.github.post("releases", {"tag_name": TAG, "draft": True})
    assert releases.find(at.github, TAG).draft is False


@pytest.mark.parametrize("fault", [lost(), truncated(), reset()], ids=["lost", "cut off", "reset"])
@pytest.mark.parametrize("step", ["POST */releases", "POST */assets", "PATCH */releases/*"])
def test_a_lost_answer_at_any_step_doubles_nothing(at, step, fault):
    """The release is whole at the end of the same run."""
    at.hub.fault(step, fault)
    whole(at)
    assert is_whole(at)


@pytest.mark.parametrize("write", range(4), ids=lambda n: f"killed at write {n + 1}")
def test_a_run_that_ended_at_any_write_is_completed_by_the_next(at, write):
    """Draft, two assets, publish: GitHub is gone from that write on, then back."""
    passed = [Fault()] * write
    for match in (f"POST /repos/{at.name}/releases*", f"PATCH /repos/{at.name}/releases*"):
        at.hub.fault(match, *(passed if match.startswith("POST") else [Fault()] * max(0, write - 3)), Fault(503), forever=True)
    with pytest.raises((UnavailableError, MaybeDoneError)):
        whole(at)
    at.hub.faults.clear()
    whole(at)
    assert is_whole(at)


def test_a_half_sent_asset_is_sent_again(at):
    """GitHub keeps what broke off as `starter`."""
    release = draft(at)
    attach(at, release)
    at.state.releases[0]["assets"][0] |= {"state": "starter", "size": 3, "digest": None}
    assert attach(at, release).is_whole
    assert len(at.state.releases[0]["assets"]) == 1


def test_other_bytes_on_a_draft_are_replaced(at):
    """The record was written anew."""
    release = draft(at)
    attach(at, release)
    asset = attach(at, release, b"other")
    assert at.state.asset_bytes[asset.id] == b"other"
    assert len(at.state.releases[0]["assets"]) == 1


def test_other_bytes_of_the_same_size_are_seen_by_their_digest(at):
    """On a draft they are replaced, on a published release refused."""
    release = draft(at)
    attach(at, release, b"aaaa")
    asset = attach(at, release, b"bbbb")
    assert at.state.asset_bytes[asset.id] == b"bbbb"
    releases.publish(at.github, release.id)
    with pytest.raises(Error, match="has other bytes"):
        attach(at, release, b"cccc")


@pytest.mark.parametrize("digest", ["kept", ""], ids=["with a digest", "a server that tells none"])
def test_other_bytes_on_a_published_release_are_refused(at, digest):
    """What people downloaded does not change."""
    release = whole(at)
    if not digest:
        for asset in at.state.releases[0]["assets"]:
            asset["digest"] = None
    with pytest.raises(Error, match=r"v1\.2\.0\.yaml has other bytes in the published release v1\.2\.0") as caught:
        attach(at, release, RECORD + b"more")
    assert caught.value.where == release.html_url
    assert is_whole(at)


def test_an_asset_that_a_published_release_lacks_is_refused(at):
    """An immutable release takes none."""
    release = whole(at)
    with pytest.raises(Error, match=r"late\.txt is missing in the published release"):
        attach(at, release, b"x", "late.txt")


def test_an_immutable_release_is_left_as_it_is(hub):
    """The same again is no change."""
    at = desk(hub)
    at.state.has_immutable_releases = True
    whole(at)
    assert at.state.releases[0]["immutable"]
    whole(at)
    assert is_whole(at)


def test_an_asset_s_name_may_hold_anything(at):
    """It goes into the query."""
    assert attach(at, draft(at), name="a b&c#ä.txt").name == "a b&c#ä.txt"


def test_a_very_long_text_is_cut(at):
    """125,000 characters."""
    assert len(draft(at, body="line\n" * 40_000).body) <= 125_000


def test_an_enterprise_server_takes_uploads_at_its_own_address(hub):
    """`/api/uploads`."""
    at = desk(hub, api_url=hub.enterprise_url)
    whole(at)
    assert is_whole(at)


def test_a_token_that_may_only_read_makes_no_release(at):
    """The right is named."""
    token = at.hub.make_token("r", kind="fine", permissions={"contents": "read"})
    with pytest.raises(ForbiddenError) as caught:
        releases.draft(client(at.hub, at.name, token=token), tag=TAG, name=TAG, body="", target="main")
    assert "contents=write" in caught.value.hint


def test_a_commit_that_github_does_not_have_is_refused_when_published(at):
    """The draft stays, to be completed."""
    release = releases.draft(at.github, tag=TAG, name=TAG, body="", target="0" * 40)
    with pytest.raises(InvalidError, match="target_commitish"):
        releases.publish(at.github, release.id)
