"""`promote --pr`: one pull request per service of the destination, with what the source proved; over the local GitHub."""

from __future__ import annotations

import pytest
from mlrelease.commands.promote import PromoteOptions, promote
from mlrelease.errors import Error, UsageError
from mlrelease.model.bundle import IMAGE, model_key
from mlrelease.model.event import Rejected
from mlrelease.model.when import iso
from support.github_server import running_github
from support.hosted import BASE, hosted
from support.pair import SECOND_IMAGE, Pair, approved, identity, staged
from support.world import git

pytestmark = pytest.mark.xdist_group("promote_pr")
BRANCH = "mlrelease/promote/production/wine"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Version 1 serves in both; version 2 of both models is proved in staging."""
    with identity():
        pair = Pair(tmp_path_factory.mktemp("made") / "p", services=("wine", "port")).create()
        pair.run("staging")
        approved(pair)
        pair.run()
        staged(pair)
        return staged(pair, model="port")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with identity(), running_github(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def here(made, hub, tmp_path):
    """A copy of it all, with a repository of its own."""
    return hosted(made.copy(tmp_path / "p"), hub, f"acme/{tmp_path.name.replace('_', '-')}")


def say(here, person="ada", **options):
    options.setdefault("services", ("wine",))
    return promote(here.person(person), "staging", "production", PromoteOptions(pr=True, **options))


def refuse(here, environment="production", version="2"):
    component = (model_key("wine"), str(here.pair.pin("wine", version).digest))
    event = Rejected(here.pair.ids(), environment, 1.0, "ada", "biased", "wine", (component,))
    here.pair.site(environment).ledger.append([event])


def test_what_staging_proved_is_proposed(here):
    """Branch, commit and pull request of the service; the report's row and next command name it."""
    report = say(here)
    (pull,) = here.open
    assert (report.exit_code, report.verdict) == (0, "production: 1 pin proposed from staging")
    assert report.rows == [("wine", "wine", "1", "2", f"opened #{pull['number']}", "")]
    assert report.next == f"review and merge {pull['html_url']}"
    assert report.data["pins"][0]["pull_request"]["url"] == pull["html_url"]
    assert (pull["title"], pull["head"]["ref"]) == ("Promote wine 2 to production", BRANCH)
    assert here.changed(BRANCH) == [BASE]
    assert here.subjects(BRANCH) == ["Promote wine 2 to production"]


def test_the_text_has_the_evidence(here):
    """When and by which receipt it was verified in staging, and for how long it soaked."""
    say(here)
    entry = here.pair.history("staging").recorded["wine"]
    body = here.open[0]["body"]
    assert f"- wine 2: Verified {iso(entry.at)} at revision {entry.revision} (receipt {entry.event})" in body
    assert "Gates in staging: exists passed" in body
    assert "Soak in staging: none asked for" in body
    assert body.startswith("<!-- mlrelease:promote:production:wine -->\n")
    assert "mlrelease rollback production --service wine --now" in body


def test_each_service_has_its_own(here):
    """Two services, two pull requests."""
    report = say(here, services=())
    assert report.verdict == "production: 2 pins proposed from staging"
    assert sorted(pull["title"] for pull in here.open) == ["Promote port 2 to production", "Promote wine 2 to production"]


def test_image_and_model_of_a_service_come_together_in_two_commits(here):
    """One pull request, one commit for each pin, the image first."""
    here.pair.image("staging", "wine")
    here.pair.run("staging")
    say(here)
    (pull,) = here.open
    assert pull["title"] == "Promote image, wine 2 to production"
    assert here.subjects(BRANCH) == ["Promote wine 2 to production", "Promote the image of wine to production"]
    assert here.changed(BRANCH) == [BASE, "environments/production/services/wine.yaml"]
    assert "| image | ghcr.io/acme/serve:0.1.0 | ghcr.io/acme/serve:0.2.0 |" in pull["body"]


def test_a_refused_pin_keeps_its_line_where_another_one_moves(here):
    """The image was rejected, the model moves under the old one: the pull request speaks for the model alone."""
    here.pair.image("staging", "wine")
    here.pair.run("staging")
    digest = SECOND_IMAGE.partition("@")[2]
    event = Rejected(here.pair.ids(), "production", 1.0, "ada", "leaks", "wine", ((IMAGE, digest),))
    here.pair.site("production").ledger.append([event])
    report = say(here)
    assert report.exit_code == 5
    assert [(row[1], row[4]) for row in report.rows] == [("image", "refused"), ("wine", f"opened #{here.open[0]['number']}")]
    assert here.changed(BRANCH) == [BASE]


def test_the_same_again_changes_nothing(here):
    """Whoever says it."""
    say(here)
    commit, calls = here.at(BRANCH), len(here.hub.calls)
    report = say(here, person="grace")
    assert report.rows[0][4] == f"proposed already in #{here.open[0]['number']}"
    assert here.at(BRANCH) == commit
    assert {call.method for call in here.hub.calls[calls:]} == {"GET"}


def test_what_staging_proves_next_refreshes_it(here):
    """The same pull request, the newer version."""
    say(here)
    number = here.open[0]["number"]
    git(here.pair.laptop, "pull", "--quiet")
    staged(here.pair, "3")
    report = say(here)
    assert report.rows[0][4] == f"refreshed #{number}"
    assert [pull["title"] for pull in here.open] == ["Promote wine 3 to production"]


def test_merged_there_is_nothing_to_promote(here):
    """And no new pull request."""
    say(here)
    here.hub.merge(here.name, here.open[0]["number"])
    report = say(here)
    assert report.verdict.startswith("production: nothing to promote")
    assert here.open == []


def test_what_staging_went_back_from_is_closed(here):
    """Production pins what staging runs again: what is open proposes what nobody wants."""
    say(here)
    number = here.open[0]["number"]
    git(here.pair.laptop, "pull", "--quiet")
    git(here.pair.laptop, "revert", "--no-edit", "HEAD~1")
    git(here.pair.laptop, "push", "--quiet")
    here.pair.run("staging")
    report = say(here)
    why = "production pins what staging runs: nothing is left to promote"
    assert (report.exit_code, report.notes) == (0, [f"wine: closed #{number}, {why}"])
    assert here.open == []
    assert why in here.state.comments_on(number)[0]["body"]
    calls = len(here.hub.calls)
    assert say(here).notes == []
    assert {call.method for call in here.hub.calls[calls:]} <= {"GET"}


def test_one_model_asked_for_closes_nothing(here):
    """The pull request speaks for the whole service."""
    say(here)
    git(here.pair.laptop, "pull", "--quiet")
    git(here.pair.laptop, "revert", "--no-edit", "HEAD~1")
    git(here.pair.laptop, "push", "--quiet")
    here.pair.run("staging")
    assert say(here, models=("wine",)).notes == []
    assert len(here.open) == 1


def test_closed_by_a_person_it_waits_to_be_asked_for(here):
    """The row and the next command say so."""
    say(here)
    number = here.open[0]["number"]
    here.hub.close_pull(here.name, number)
    report = say(here)
    assert report.rows[0][4].startswith(f"not proposed again: #{number} was closed by a person")
    assert report.next.endswith("--pr --reopen")
    assert here.open == []
    say(here, reopen=True)
    assert len(here.open) == 1


def test_a_rejected_version_is_refused_and_its_pull_request_closed(here):
    """Exit code 5, no branch moves, the reason is a comment."""
    say(here)
    number = here.open[0]["number"]
    refuse(here)
    report = say(here)
    assert report.exit_code == 5
    assert report.rows[0][4] == f"refused, closed #{number}"
    assert "rejected by ada: biased" in report.rows[0][5]
    assert here.open == []
    assert "biased" in here.state.comments_on(number)[0]["body"]


def test_a_version_that_staging_rejected_meanwhile_is_refused_too(here):
    """What was proved once is not proved any more."""
    say(here)
    refuse(here, "staging")
    assert say(here).exit_code == 5
    assert here.open == []


def test_a_dirty_checkout_is_no_matter(here):
    """What is proposed stands on the tracked branch."""
    path = here.pair.file("production", "models", "wine")
    path.write_text("half an edit")
    say(here)
    assert path.read_text() == "half an edit"
    assert here.changed(BRANCH) == [BASE]


def test_what_contradicts_it_is_refused(here):
    """`--push` pushes to the tracked branch."""
    with pytest.raises(UsageError):
        say(here, push=True)
    assert here.open == []


def test_a_branch_that_takes_no_push_is_an_error(here):
    """Nothing was opened; the message is the remote's."""
    hook = here.bare / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in refs/heads/mlrelease/promote/*) echo no >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    with pytest.raises(Error, match="refused the push"):
        say(here)
    assert here.open == []


def test_a_detached_checkout_is_no_matter_either(here):
    """A job's: the commit is made on the tracked branch's tip, on a branch of its own."""
    git(here.pair.laptop, "checkout", "--quiet", "--detach", "HEAD~1")
    assert say(here).verdict == "production: 1 pin proposed from staging"
    assert here.subjects(BRANCH) == ["Promote wine 2 to production"]
