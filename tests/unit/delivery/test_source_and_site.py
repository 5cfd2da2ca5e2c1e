"""Where desired state comes from, and where an environment keeps its own: branches, remotes, keys and folders."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from mlrelease.delivery.site import open_site, repository_key, state_folder
from mlrelease.delivery.source import Tracked, desired, fetch, spec_at, tracked
from mlrelease.errors import Error
from mlrelease.forge.git import Git
from support import core
from support.repositories import git, repository
from support.world import ENVIRONMENT


@pytest.fixture
def here(tmp_path):
    """A repository with one commit on `main` and no remote."""
    return repository(tmp_path / "here", {"environments/production/environment.yaml": ENVIRONMENT})


def remote(path, name, head=""):
    """A remote of that name, as after a fetch; `head` is its default branch, if it told one."""
    git(path, "remote", "add", name, f"https://example.com/{name}.git")
    if head:
        git(path, "symbolic-ref", f"refs/remotes/{name}/HEAD", f"refs/remotes/{name}/{head}")


@pytest.mark.parametrize(
    ("prepare", "asked", "expected"),
    [
        (lambda p: None, "", Tracked("", "main")),
        (lambda p: git(p, "checkout", "-q", "-b", "topic"), "", Tracked("", "topic")),
        (lambda p: remote(p, "origin", "trunk"), "", Tracked("origin", "trunk")),
        (lambda p: remote(p, "origin", "team/main"), "", Tracked("origin", "team/main")),
        (lambda p: remote(p, "origin"), "", Tracked("origin", "main")),
        (lambda p: remote(p, "upstream", "trunk"), "", Tracked("upstream", "trunk")),
        (lambda p: (remote(p, "a", "x"), remote(p, "origin", "trunk")), "", Tracked("origin", "trunk")),
        (lambda p: (remote(p, "origin", "trunk"), git(p, "config", "mlrelease.branch", "live")), "", Tracked("origin", "live")),
        (lambda p: git(p, "config", "mlrelease.branch", "live"), "asked", Tracked("", "asked")),
    ],
    ids=[
        "without a remote the current branch",
        "also a topic branch",
        "the remote's default branch",
        "whose name may have a slash",
        "a remote that told none: the current one",
        "the only remote, whatever its name",
        "origin before others",
        "what is configured before the default",
        "what is asked for before all",
    ],
)
def test_the_tracked_branch(here, prepare, asked, expected):
    """Asked, configured, the remote's own word, the current one: in this order."""
    prepare(here)
    assert tracked(Git(here), branch=asked) == expected


def test_a_detached_checkout_tracks_nothing_and_says_how(here):
    """To guess would deploy whatever lies there."""
    git(here, "checkout", "-q", "--detach")
    with pytest.raises(Error) as caught:
        tracked(Git(here))
    assert (caught.value.message, caught.value.hint) == (
        "no branch to track: the checkout is detached",
        "name one: git config mlrelease.branch main",
    )


@pytest.mark.parametrize(
    ("branch", "ref", "shown", "hint"),
    [
        (Tracked("", "live"), "refs/heads/live", "live", "git add environments && git commit"),
        (Tracked("up", "a/b"), "refs/remotes/up/a/b", "up/a/b", "git push up a/b"),
    ],
    ids=["here", "at a remote"],
)
def test_a_branch_without_a_commit_says_what_to_do(here, branch, ref, shown, hint):
    """The ref that holds the tip, the name for people, and the next command."""
    assert (branch.ref, str(branch)) == (ref, shown)
    with pytest.raises(Error) as caught:
        desired(Git(here), branch)
    assert (caught.value.message, caught.value.hint) == (f"there is no commit on {shown}", hint)


def test_desired_is_the_commit_and_not_the_work_tree(here):
    """What nobody committed is nobody's wish."""
    (here / "environments" / "production" / "environment.yaml").write_text("broken: [")
    (here / "environments" / "staging").mkdir()
    (here / "environments" / "staging" / "environment.yaml").write_text(ENVIRONMENT.replace("production", "staging"))
    found = desired(Git(here), Tracked("", "main"), online=False)
    assert (list(found.spec.environments), found.online) == (["production"], False)
    assert [one.rule for one in found.spec.findings] == ["empty-environment"], "the broken file is nowhere among them"
    assert found.revision == git(here, "rev-parse", "HEAD")
    assert spec_at(Git(here), "HEAD").environments == found.spec.environments


def test_a_fetch_moves_the_known_tip_and_survives_a_host_that_is_away(tmp_path, here):
    """A branch that was moved back is followed too: what that means is judged elsewhere."""
    git(tmp_path, "clone", "-q", "--bare", str(here), "origin.git")
    git(tmp_path, "clone", "-q", "origin.git", "host")
    host, branch = Git(tmp_path / "host"), Tracked("origin", "main")
    first = git(here, "rev-parse", "HEAD")
    git(here, "commit", "-q", "--allow-empty", "-m", "next")
    git(here, "push", "-q", "../origin.git", "main")
    assert fetch(host, branch)
    assert desired(host, branch).revision == git(here, "rev-parse", "HEAD")
    git(here, "push", "-q", "--force", "../origin.git", f"{first}:main")
    assert fetch(host, branch)
    assert desired(host, branch).revision == first
    (tmp_path / "origin.git").rename(tmp_path / "away")
    assert not fetch(host, branch)
    assert desired(host, branch).revision == first
    assert fetch(Git(here), Tracked("", "main")), "without a remote there is nobody to ask"


def test_a_branch_that_the_host_does_not_have_is_an_error_and_not_a_host_that_is_away(tmp_path, here):
    """To go on with the last tip for ever would hide a typing error."""
    git(tmp_path, "clone", "-q", "--bare", str(here), "origin.git")
    git(tmp_path, "clone", "-q", "origin.git", "host")
    with pytest.raises(Error, match="nowhere"):
        fetch(Git(tmp_path / "host"), Tracked("origin", "nowhere"))


# -- the state folder -----------------------------------------------------------------------------------------------------


@dataclass
class Addressed:
    """A git that knows its place and the address of its remotes."""

    address: str | None = None
    place: str = "/srv/clones/models"

    def root(self):
        return Path(self.place)

    def remote_url(self, name):
        return self.address


ORIGIN = Tracked("origin", "main")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://github.com/acme/models.git", "models"),
        ("https://github.com/acme/models", "models"),
        ("https://github.com/acme/models/", "models"),
        ("git@github.com:acme/Wine_Models.git", "wine_models"),
        ("ssh://git@host/~ann/a b.git", "a-b"),
        ("https://example.com/" + "x" * 40, "x" * 24),
        ("https://example.com/..git", "-"),
        ("https://example.com/.git", "repository"),
        ("../o.git", "o"),
        ("https://example.com/modèle$(rm).git", "modèle--rm-"),
    ],
)
def test_the_key_names_the_repository_in_letters_that_a_path_may_have(address, name):
    """A readable part and eight hex digits of the address."""
    key = repository_key(Addressed(address), ORIGIN)
    readable, _, digits = key.rpartition("-")
    assert readable == name
    assert len(digits) == 8
    assert set(digits) <= set("0123456789abcdef")
    assert "/" not in key


def test_clones_of_one_remote_share_a_key_and_others_do_not():
    """Wherever they lie; two repositories of one name are told apart; a path counts as where it leads."""
    key = repository_key
    one = Addressed("https://a.example.com/acme/models.git")
    assert key(one, ORIGIN) == key(replace(one, place="/home/ann/elsewhere"), ORIGIN)
    assert key(one, ORIGIN) != key(Addressed("https://b.example.com/acme/models.git"), ORIGIN)
    assert key(Addressed("../o.git", "/srv/a"), ORIGIN) == key(Addressed("../o.git", "/srv/b"), ORIGIN)
    assert key(Addressed("../o.git", "/srv/a"), ORIGIN) != key(Addressed("../o.git", "/opt/a"), ORIGIN)
    assert key(Addressed("/srv/o.git", "/srv/a"), ORIGIN) == key(Addressed("../o.git", "/srv/a"), ORIGIN)


@pytest.mark.parametrize("branch", [Tracked("", "main"), ORIGIN], ids=["without a remote", "a remote without an address"])
def test_without_an_address_the_place_is_the_key(branch):
    """Two repositories of one machine do not share their state."""
    assert repository_key(Addressed(), branch).startswith("models-")
    assert repository_key(Addressed(), branch) != repository_key(Addressed(place="/opt/models"), branch)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("/var/lib/x", "/var/lib/x"),
        ("state", "/srv/clones/models/state"),
        ("~/state", "{home}/state"),
        ("${BASE}/x", "/data/x"),
        ("${NONE:-/fallback}/x", "/fallback/x"),
    ],
    ids=["as written", "below the clone", "of the person", "by a variable", "by a variable's default"],
)
def test_the_state_folder_as_it_is_written(written, expected):
    """Variables first, then the person's home, then the clone."""
    environment = core.environment()
    environment = replace(environment, target=replace(environment.target, state_dir=written))
    found = state_folder(environment, Addressed(), ORIGIN, {"BASE": "/data"})
    assert str(found) == expected.format(home=os.environ["HOME"])


def test_a_state_folder_by_a_variable_that_is_not_set_is_an_error():
    """And never a folder named `${BASE}`."""
    environment = core.environment()
    environment = replace(environment, target=replace(environment.target, state_dir="${BASE}/x"))
    with pytest.raises(Error, match="BASE"):
        state_folder(environment, Addressed(), ORIGIN, {})


def test_unless_it_is_written_it_is_the_person_s_by_repository_and_environment(monkeypatch, tmp_path):
    """Two environments of one clone, and one environment of two clones, keep apart or together as they should."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    key = repository_key(Addressed(), ORIGIN)
    assert state_folder(core.environment(), Addressed(), ORIGIN, {}) == tmp_path / "mlrelease" / key / "production"


def test_to_open_a_site_touches_nothing_and_asks_for_no_registry(here, tmp_path):
    """A state folder is made by who acts; the registry's address is expanded when it is first needed."""
    state = tmp_path / "st"
    environment = core.environment()
    environment = replace(environment, tracking_uri="${NOT_SET}", target=replace(environment.target, state_dir=str(state)))
    site = open_site(environment, Git(here), Tracked("", "main"), now=lambda: 7.0, variables={"A": "b"})
    assert (site.state_dir, site.runs_here, site.variables, site.now()) == (state, False, {"A": "b"}, 7.0)
    assert site.cache.root == state / "cache"
    assert not state.exists()
    with pytest.raises(Error, match="NOT_SET"):
        site.registry()
    state.mkdir()
    (state / "fence").write_text("3\n")
    again = open_site(environment, Git(here), Tracked("", "main"), now=lambda: 7.0, variables={})
    assert again.runs_here, "a pass has claimed it"
