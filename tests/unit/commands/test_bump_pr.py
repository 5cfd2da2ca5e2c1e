"""`bump --pr`: one pull request per model and environment, whatever ran before; over the local GitHub and the fakes."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from mlrelease.commands.bump import BumpOptions, bump
from mlrelease.commands.explanations import explain
from mlrelease.commands.github import github_of
from mlrelease.commands.proposals import Edit, Subject, Wanted, propose, tip_to_propose_on
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.model.bundle import model_key
from mlrelease.model.event import Rejected, Unrejected
from mlrelease.render.pull_request import pull_request_text
from mlrelease.spec.edit import set_model_pin
from support.github_server import lost, running_github, slow
from support.hosted import BASE, hosted
from support.pair import Pair, approved, identity
from support.world import git

pytestmark = pytest.mark.xdist_group("bump_pr")
BRANCH = "mlrelease/bump/production/wine"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Version 1 serves in both environments; 2, 3 and 4 are registered."""
    with identity():
        pair = Pair(tmp_path_factory.mktemp("made") / "p", services=("wine", "port")).create()
        for environment in ("staging", "production"):
            if environment == "production":
                approved(pair)
            pair.run(environment)
        for model, version in itertools.product(("wine", "port"), "234"):
            pair.pin(model, version)
        return pair


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with identity(), running_github(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def here(made, hub, tmp_path):
    """A copy of it all, with a repository of its own."""
    pair = made.copy(tmp_path / "p")
    pair.registry.numbers = {}
    return hosted(pair, hub, f"acme/{tmp_path.name.replace('_', '-')}")


def say(here, *models, to="", person="ada", **options):
    return bump(here.person(person), "production", models or ("wine",), BumpOptions(to, pr=True, **options))


def refuse(here, version, reason="biased"):
    """Ada's word against a version, by its digest."""
    event = Rejected(here.pair.ids(), "production", 1.0, "ada", reason, "wine", (component(here, version),))
    here.pair.site().ledger.append([event])


def component(here, version):
    return model_key("wine"), str(here.pair.pin("wine", version).digest)


def test_a_pull_request_moves_one_pin(here):
    """One commit on top of the tracked branch that changes two lines of one file; nothing else has moved."""
    tip = here.at("main")
    report = say(here, to="2")
    (pull,) = here.open
    assert (report.exit_code, report.verdict) == (0, f"production: wine 1 → 2: opened #{pull['number']}")
    assert report.next == f"review and merge {pull['html_url']}"
    assert report.data["pull_request"] == {
        "number": pull["number"],
        "url": pull["html_url"],
        "opened": True,
        "commit": here.at(BRANCH),
    }
    assert (pull["head"]["ref"], pull["base"]["ref"]) == (BRANCH, "main")
    assert here.changed(BRANCH) == [BASE]
    assert here.subjects(BRANCH) == ["Pin wine 2 in production"]
    assert git(here.bare, "diff", "--numstat", f"main...{BRANCH}").split()[:2] == ["2", "2"]
    assert here.at("main") == tip
    assert git(here.pair.laptop, "status", "--porcelain") == ""
    assert git(here.pair.laptop, "rev-parse", "HEAD") == tip
    assert git(here.pair.laptop, "branch", "--list") == "* main"


def test_the_text_explains_it(here):
    """From and to, the run, metrics beside the baseline's, gates, how to merge and how to undo; and two hidden markers."""
    registry = here.pair.registry
    registry.facts["wine", "2"] = replace(registry.facts["wine", "2"], run_id="r7")
    registry.numbers["wine", "2"] = ({"rmse": 70.0, "f1": float("nan")}, "model")
    registry.numbers["wine", "1"] = ({"rmse": 80.0}, "model")
    say(here, to="2")
    (pull,) = here.open
    body = pull["body"]
    assert pull["title"] == "Pin wine 2 in production"
    assert body.startswith("<!-- mlrelease:bump:production:wine -->\n<!-- mlrelease:pins:")
    for expected in (
        "| wine | 1 | 2 | run r7 |",
        f"- wine 2: `{here.pair.pin('wine', '2').digest}`",
        "Compared with version 1, which production has recorded.",
        "| rmse | 80 | 70 | -10 (-12.5%) |",
        "| f1 | – | nan | – |",
        "| wine | exists | passed |",
        "### Gates: ",
        "mlrelease rollback production --model wine --now",
        "waits for an approval",
    ):
        assert expected in body, expected


def test_the_same_again_changes_nothing(here):
    """A second run finds it all there: no push, no call that writes, and it says where."""
    say(here, to="2")
    commit, calls = here.at(BRANCH), len(here.hub.calls)
    report = say(here, to="2", person="grace")
    (pull,) = here.open
    assert report.verdict == f"production: wine 1 → 2: proposed already in #{pull['number']}"
    assert report.data["pull_request"]["opened"] is False
    assert here.at(BRANCH) == commit
    assert {call.method for call in here.hub.calls[calls:]} == {"GET"}


def test_a_newer_version_refreshes_the_same_one(here):
    """The branch is moved to one commit on the tip again; title and text are of the new version."""
    say(here, to="2")
    number = here.open[0]["number"]
    report = say(here, to="3")
    (pull,) = here.open
    assert (pull["number"], pull["title"]) == (number, "Pin wine 3 in production")
    assert report.verdict.endswith(f"refreshed #{number}")
    assert "| wine | 1 | 3 |" in pull["body"]
    assert here.subjects(BRANCH) == ["Pin wine 3 in production"]
    assert pull["head"]["sha"] == here.at(BRANCH)


def test_an_older_version_does_not_replace_a_newer_one(here):
    """A slow pipeline must not take the newest proposal back."""
    say(here, to="3")
    commit = here.at(BRANCH)
    report = say(here, to="2")
    number = here.open[0]["number"]
    assert report.verdict == f"production: wine 1 → 2: left as it is: #{number} proposes wine 3, which is newer"
    assert (report.exit_code, here.at(BRANCH)) == (0, commit)


def test_each_model_has_its_own(here):
    """Two models, two branches, two pull requests; the report has a row for each."""
    report = say(here, "wine", "port", to="2")
    assert sorted(pull["head"]["ref"] for pull in here.open) == ["mlrelease/bump/production/port", BRANCH]
    assert report.verdict == "production: 2 of 2 pins proposed"
    assert [row[2].split("#")[0] for row in report.rows] == ["opened ", "opened "]


def test_merged_it_is_done(here):
    """The tip has the pin: nothing to do, and no second pull request."""
    say(here, to="2")
    here.hub.merge(here.name, here.open[0]["number"])
    report = say(here, to="2")
    assert report.verdict == "production: wine 2 → 2: already pinned: nothing to do"
    assert here.open == []


def test_merged_and_reverted_it_is_not_proposed_again_unasked(here):
    """A bot that brings back what people took back is no help; asked for, a new pull request comes."""
    say(here, to="2")
    first = here.open[0]["number"]
    here.hub.merge(here.name, first)
    here.pin_on_main("wine", "1")
    report = say(here, to="2")
    assert f"not proposed again: #{first} was merged, and origin/main has left it since" in report.verdict
    assert report.next == "mlrelease bump production wine --to 2 --pr --reopen"
    assert here.open == []
    again = say(here, to="2", reopen=True)
    assert again.verdict.endswith(f"opened #{here.open[0]['number']}")
    assert here.open[0]["number"] > first


def test_closed_by_a_person_it_stays_closed(here):
    """The same pin is not proposed again; another version is."""
    say(here, to="2")
    first = here.open[0]["number"]
    here.hub.close_pull(here.name, first)
    report = say(here, to="2")
    assert f"not proposed again: #{first} was closed by a person" in report.verdict
    assert here.open == []
    assert say(here, to="3").verdict.endswith(f"opened #{here.open[0]['number']}")


def test_a_version_of_a_closed_one_may_be_lower_than_what_is_left_on_its_branch(here):
    """3 was closed and its branch is still there: that is no newer proposal."""
    say(here, to="3")
    here.hub.close_pull(here.name, here.open[0]["number"])
    say(here, to="2")
    assert [pull["title"] for pull in here.open] == ["Pin wine 2 in production"]


def test_a_rejected_version_is_refused(here):
    """Exit code 5, who and why; no branch, no pull request."""
    refuse(here, "2")
    report = say(here, to="2")
    assert report.exit_code == 5
    assert "wine 2 was rejected in production by ada: biased" in report.verdict
    assert (here.open, here.at(BRANCH)) == ([], "")


def test_an_open_one_for_a_rejected_version_is_closed_with_the_reason(here):
    """Inert, whatever stands in the reason; lifted, it may be proposed again, for no person closed it."""
    say(here, to="2")
    (pull,) = here.open
    refuse(here, "2", "biased, @acme/all <b>see</b> #1")
    report = say(here, to="2")
    assert report.exit_code == 5
    assert f"(closed #{pull['number']})" in report.verdict
    assert here.open == []
    (comment,) = here.state.comments_on(pull["number"])
    assert "biased, @&#8203;acme/all &#60;b&#62;see&#60;/b&#62; #&#8203;1" in comment["body"]
    lifted = Unrejected(here.pair.ids(), "production", 2.0, "ada", "it was the data", "wine", (component(here, "2"),))
    here.pair.site().ledger.append([lifted])
    assert say(here, to="2").verdict.endswith(f"opened #{here.open[0]['number']}")


def test_a_rejection_leaves_one_for_another_version_alone(here):
    """3 is proposed, 2 is rejected."""
    say(here, to="3")
    refuse(here, "2")
    assert say(here, to="2").exit_code == 5
    assert [pull["title"] for pull in here.open] == ["Pin wine 3 in production"]


def test_a_tracked_branch_that_moved_on_elsewhere_is_no_reason_to_push(here):
    """Approvals are dismissed by a push: only where the pin's own file changed is the branch made anew."""
    say(here, to="3")
    commit = here.at(BRANCH)
    here.commit_on("main", "README.md", "hello\n")
    assert "proposed already" in say(here, to="3").verdict
    assert here.at(BRANCH) == commit
    here.pin_on_main("wine", "2")
    assert "refreshed" in say(here, to="3").verdict
    assert git(here.bare, "merge-base", "main", BRANCH) == here.at("main")
    assert "| wine | 2 | 3 |" in here.open[0]["body"]


def test_a_person_s_commit_on_the_branch_is_not_overwritten(here):
    """A waiver that somebody added stays: the same pin is left as it is, a newer one is an error that names the way out."""
    say(here, to="2")
    text = here.file(BRANCH) + "\n# waived, see the minutes\n"
    commit = here.commit_on(BRANCH, BASE, text)
    assert "proposed already" in say(here, to="2").verdict
    with pytest.raises(Error, match="somebody else's commit") as raised:
        say(here, to="3")
    assert raised.value.hint.endswith(f"git push origin --delete {BRANCH}")
    assert here.at(BRANCH) == commit


def test_the_button_update_branch_leaves_it_ours(here):
    """A merge of the tracked branch into it is no work of a person."""
    say(here, to="2")
    here.commit_on("main", "README.md", "hello\n")
    folder = here.pair.root / "somebody"
    git(folder, "fetch", "--quiet", "origin")
    git(folder, "checkout", "--quiet", "--detach", f"origin/{BRANCH}")
    git(folder, "merge", "--quiet", "--no-edit", "origin/main")
    git(folder, "push", "--quiet", "origin", f"HEAD:refs/heads/{BRANCH}")
    assert "refreshed" in say(here, to="3").verdict


@pytest.mark.parametrize("left", ["a branch", "nothing"], ids=["killed before the pull request", "killed before the push"])
def test_what_a_killed_run_left_is_gone_on_with(here, left):
    """A branch without a pull request gets one, with the commit that is there."""
    say(here, to="2")
    commit = here.at(BRANCH)
    here.state.pulls.clear()
    if left == "nothing":
        git(here.bare, "update-ref", "-d", f"refs/heads/{BRANCH}")
    report = say(here, to="2")
    assert report.verdict.endswith(f"opened #{here.open[0]['number']}")
    assert here.at(BRANCH) == commit if left == "a branch" else here.subjects(BRANCH) == ["Pin wine 2 in production"]


def test_one_that_is_pinned_meanwhile_is_closed(here):
    """Somebody pinned the same version by hand: nothing is left to be merged."""
    say(here, to="2")
    number = here.open[0]["number"]
    here.pin_on_main("wine", "2")
    assert say(here, to="2").verdict.endswith(f"already pinned: nothing to do (closed #{number})")
    assert here.open == []


def test_a_model_whose_name_git_would_refuse_has_a_branch(here):
    """`..` and `.lock` stand in no branch name; the names stay apart."""
    from mlrelease.forge.branches import branch_name

    names = [branch_name("bump", "production", model) for model in ("a..b", "a.lock", "a.", "a.b", "a%2E.b")]
    assert len(set(names)) == len(names)
    for name in names:
        git(here.bare, "check-ref-format", "--branch", name)


@pytest.mark.parametrize(
    "options", [{"push": True}, {"commit": False}], ids=["together with --push", "together with --no-commit"]
)
def test_what_contradicts_it_is_refused(here, options):
    """Exit code 2, before anything is asked."""
    calls = len(here.hub.calls)
    with pytest.raises(UsageError):
        say(here, to="2", **options)
    assert len(here.hub.calls) == calls


def test_without_a_token_nothing_begins(here):
    """The message says what to set; nothing was read or pushed."""
    person = here.pair.person()
    variables = {**person.variables, "MLRELEASE_GITHUB_REPOSITORY": here.name, "MLRELEASE_GITHUB_API": here.hub.api_url}
    with pytest.raises(Error, match="no token") as raised:
        bump(replace(person, variables=variables), "production", ("wine",), BumpOptions("2", pr=True))
    assert "GITHUB_TOKEN" in raised.value.hint
    assert here.at(BRANCH) == ""


def test_a_git_host_that_does_not_answer_ends_it(here):
    """The tip is not known: an old one is not proposed on."""
    git(here.pair.laptop, "remote", "set-url", "origin", str(here.pair.root / "nowhere.git"))
    with pytest.raises(UnavailableError, match="nothing was proposed"):
        say(here, to="2")


def test_a_lost_answer_opens_no_second_one(here):
    """GitHub made it and the connection broke: it is looked up."""
    here.hub.fault(f"POST /repos/{here.name}/pulls", lost())
    say(here, to="2")
    assert len(here.open) == 1


def test_of_many_one_that_cannot_be_proposed_holds_up_none(here):
    """Its line says why, exit code 1, the other has its pull request."""
    say(here, "wine", to="2")
    here.commit_on(BRANCH, BASE, here.file(BRANCH) + "\n# by hand\n")
    report = say(here, "wine", "port", to="3")
    assert report.exit_code == 1
    assert [pull["title"] for pull in here.open] == ["Pin wine 2 in production", "Pin port 3 in production"]
    assert any("somebody else's commit" in row[2] for row in report.rows)


def test_a_registry_that_has_no_numbers_is_said_so(here):
    """No metrics is no error: the text says it."""
    say(here, to="2")
    assert "MLflow has no metrics of it." in here.open[0]["body"]


def other_clone(here, name="other"):
    """A second checkout of the same repository."""
    git(here.pair.root, "clone", "--quiet", str(here.bare), name)
    return here.pair.root / name


def asked(here, person, version, first=lambda: None, **more):
    """What a run wants that pins the version; `first` happens before its text is made for the first time."""
    tip = tip_to_propose_on(person)
    subject = Subject("bump", "production", "wine", "wine")
    pending = [first]

    def explained(spec):
        if pending:
            pending.pop()()
        about = explain(person, subject, tip.spec, spec)
        return about.title, pull_request_text(about)

    pin = here.pair.pin("wine", version)
    data = set_model_pin((here.file("main") + "\n").encode(), pin.version, pin.digest)
    return Wanted(subject, tip, (Edit({BASE: data}, f"Pin wine {version} in production\n"),), explained, **more)


def test_another_run_between_our_push_and_our_text(here):
    """2 is pushed; before its text is written a run for 3 goes through from start to end: what stands is all of 3."""
    theirs, mine = here.person("grace", folder=other_clone(here)), here.person("ada")

    def between():
        bump(theirs, "production", ("wine",), BumpOptions("3", pr=True))

    done = propose(mine, github_of(mine), asked(here, mine, "2", between, newest_wins=True))
    (pull,) = here.open
    assert (pull["title"], pull["head"]["sha"]) == ("Pin wine 3 in production", here.at(BRANCH))
    assert "| wine | 1 | 3 |" in pull["body"]
    assert here.subjects(BRANCH) == ["Pin wine 3 in production"]
    assert "left as it is" in done.what
    assert done.sha == here.at(BRANCH)


def test_where_no_version_is_newer_whoever_pushed_last_has_the_last_word(here):
    """Two runs do not push over each other in turn; the text says what is on the branch."""
    theirs, mine = here.person("grace", folder=other_clone(here)), here.person("ada")

    def between():
        propose(theirs, github_of(theirs), asked(here, theirs, "2"))

    done = propose(mine, github_of(mine), asked(here, mine, "3", between))
    (pull,) = here.open
    assert (pull["title"], pull["head"]["sha"], done.sha) == ("Pin wine 2 in production", here.at(BRANCH), here.at(BRANCH))
    assert "| wine | 1 | 2 |" in pull["body"]


@pytest.mark.parametrize("slowed", ["POST", "PATCH", "GET"])
def test_runs_for_several_versions_at_once_end_with_the_newest(here, slowed):
    """Three runs in three clones: one pull request, whose branch, title and text are of the newest version."""
    people = [here.person(name, folder=other_clone(here, name)) for name in ("ada", "grace", "alan")]
    here.hub.fault(f"{slowed} /repos/{here.name}/pulls*", slow(0.2), slow(0.1), slow(0.3))
    start = threading.Barrier(3)

    def one(person, version):
        start.wait(30)
        return bump(person, "production", ("wine",), BumpOptions(version, pr=True)).exit_code

    with ThreadPoolExecutor(3) as pool:
        codes = list(pool.map(one, people, "243"))
    (pull,) = here.open
    assert codes == [0, 0, 0]
    assert (pull["title"], pull["head"]["sha"]) == ("Pin wine 4 in production", here.at(BRANCH))
    assert "| wine | 1 | 4 |" in pull["body"]
    assert here.subjects(BRANCH) == ["Pin wine 4 in production"]


def test_runs_for_the_same_version_at_once_end_with_one(here):
    """All of them say the same pull request."""
    people = [here.person(name, folder=other_clone(here, name)) for name in ("ada", "grace", "alan")]
    start = threading.Barrier(3)

    def one(person):
        start.wait(30)
        return bump(person, "production", ("wine",), BumpOptions("2", pr=True)).data["pull_request"]

    with ThreadPoolExecutor(3) as pool:
        said = list(pool.map(one, people))
    (pull,) = here.open
    assert {one["number"] for one in said} == {pull["number"]}
    assert {one["commit"] for one in said} == {here.at(BRANCH)}
    assert sum(bool(one["opened"]) for one in said) == 1
