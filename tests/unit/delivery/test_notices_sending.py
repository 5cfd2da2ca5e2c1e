"""Sending: webhook, issue, comment; in order, again after a failure, beside the passes and never in their way."""

from __future__ import annotations

import io
import logging
from dataclasses import replace

import pytest
from mlrelease import log
from mlrelease.delivery import notices_sending
from mlrelease.delivery.agent import Agent
from mlrelease.delivery.notices import RECOVERED
from mlrelease.delivery.notices_sending import ASKED, SECRET, STALE_S, URL, Teller, channels_of, notices_of, send_waiting
from mlrelease.errors import Error
from mlrelease.forge.webhook import SIGNATURE
from support.estate import until
from support.github_server import running_github
from support.receiver import receiving
from support.world import git

NAME = "acme/models"


@pytest.fixture
def receiver():
    """Somebody who takes webhooks."""
    with receiving() as found:
        yield found


@pytest.fixture
def hub(tmp_path):
    """A GitHub with the repository, still empty."""
    with running_github(tmp_path) as hub:
        hub.repository(NAME)
        yield hub


@pytest.fixture
def logged():
    """What is logged while the test runs."""
    stream = io.StringIO()
    log.configure(level=logging.WARNING, stream=stream)
    yield stream
    log.configure(level=logging.WARNING)


@pytest.fixture
def bad(deployed):
    """Version 2 was rolled back by itself; nobody was told."""
    return rolled_back(deployed)


def rolled_back(world, version="2"):
    world.bump("wine", version)
    bundle = world.desired().spec.environments["production"].services["wine"].bundle
    world.target.lie.add(bundle.id)
    return world.run()


def mended(world):
    """The pin is reverted, and applied."""
    world.revert(world.desired().revision)
    return world.run()


def told(world, result, variables, *, wait_s=30.0):
    """One pass's telling, to its end."""
    Teller().after_pass(replace(world.site(), variables=variables), result.plan, result.history, wait_s=wait_s)


def waiting(world, channel, variables):
    return notices_of(replace(world.site(), variables=variables)).waiting(channel)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ()),
        ({URL: ""}, ()),
        ({URL: "https://example.org/hook"}, ("webhook",)),
        ({ASKED: "issue"}, ("issue",)),
        ({ASKED: " comment , issue, issue ,"}, ("comment", "issue")),
        ({URL: "https://example.org/hook", ASKED: "issue,comment"}, ("webhook", "issue", "comment")),
        ({"GITHUB_TOKEN": "t", "GITHUB_REPOSITORY": NAME}, ()),
    ],
    ids=[
        "nothing set",
        "an empty address",
        "a webhook",
        "issues",
        "words with blanks and twice",
        "all three",
        "a token alone asks for nothing",
    ],
)
def test_only_what_the_host_was_asked_for_is_used(variables, expected):
    """Nothing is posted unasked."""
    assert channels_of(variables) == expected


def test_an_unknown_way_is_an_error_that_stops_nothing(deployed, bad):
    """It is logged: the pass was done all the same."""
    with pytest.raises(Error, match="'mail', which is no way") as raised:
        channels_of({ASKED: "issue,mail"})
    assert raised.value.hint == f"{ASKED}=issue,comment"
    told(deployed, bad, {ASKED: "mail"})


def test_the_webhook_says_everything_with_stable_keys(deployed, bad, receiver):
    """Signed; `text` is what a chat shows."""
    told(deployed, bad, {URL: receiver.url, SECRET: "hush"})
    (delivery,) = receiver.deliveries
    body = delivery.json
    assert sorted(body) == [
        "after", "at", "before", "environment", "id", "kind", "next", "reason", "repository", "revision", "schema",
        "service", "subject", "text",
    ]  # fmt: skip
    assert (body["schema"], body["kind"], body["environment"], body["service"]) == (1, "rolled_back", "production", "wine")
    assert body["revision"] == bad.plan.revision
    assert body["repository"] == "origin"
    assert body["text"].startswith("production/wine: wine 2 (")
    assert body["next"] in body["text"]
    assert delivery.headers[SIGNATURE].startswith("sha256=")
    assert b"hush" not in delivery.body
    assert waiting(deployed, "webhook", {URL: receiver.url}) == ()


def test_trouble_and_recovery_arrive_in_order(deployed, bad, receiver):
    """Once each, however many passes there are."""
    variables = {URL: receiver.url}
    told(deployed, bad, variables)
    told(deployed, deployed.run(), variables)
    told(deployed, mended(deployed), variables)
    told(deployed, deployed.run(), variables)
    assert receiver.kinds() == ["rolled_back", RECOVERED]


def test_a_receiver_that_is_down_gets_everything_later(deployed, bad, receiver):
    """It waits on the disk, also over a restart of the agent."""
    variables = {URL: receiver.url}
    receiver.status = 503
    told(deployed, bad, variables)
    told(deployed, mended(deployed), variables)
    assert receiver.kinds() == ["rolled_back", "rolled_back"], "one try each, and what is older first"
    receiver.status = 200
    receiver.deliveries.clear()
    told(deployed, deployed.run(), variables)
    assert receiver.kinds() == ["rolled_back", RECOVERED]


def test_a_repeat_carries_the_same_name(deployed, bad, receiver):
    """The answer was lost: a receiver can tell that it knows it."""
    variables = {URL: receiver.url}
    receiver.status = 500
    told(deployed, bad, variables)
    receiver.status = 200
    told(deployed, bad, variables)
    first, second = receiver.deliveries
    assert first.headers["X-Mlrelease-Delivery"] == second.headers["X-Mlrelease-Delivery"]
    assert first.json["id"] == second.json["id"]


def test_after_a_failure_a_channel_rests(deployed, bad, receiver):
    """One try, then a pause, in the same agent; a pass does not hammer it."""
    variables = {URL: receiver.url}
    receiver.status = 503
    teller = Teller()
    site = replace(deployed.site(), variables=variables)
    for _ in range(3):
        teller.after_pass(site, bad.plan, bad.history, wait_s=30.0)
    assert len(receiver.deliveries) == 1


def test_one_dead_channel_does_not_stop_the_other(deployed, bad, receiver, hub):
    """The webhook is gone; the issue is opened."""
    receiver.status = 410
    told(deployed, bad, {**hub.environment_variables(NAME), URL: receiver.url, ASKED: "issue"})
    assert len(hub.state(NAME).issues) == 1


def test_a_pass_does_not_wait_for_a_receiver_that_hangs(deployed, receiver):
    """The agent looks again and again while nobody answers; one try is under way at a time."""
    receiver.gate.clear()
    variables = {URL: receiver.url}
    agent = Agent(
        open_desired=lambda: (replace(deployed.site(), variables=variables), deployed.desired()),
        order=deployed.order(impatient=False),
        describe=lambda _: {},
        report=lambda _: None,
    )
    deployed.bump("wine", "2")
    bundle = deployed.desired().spec.environments["production"].services["wine"].bundle
    deployed.target.lie.add(bundle.id)
    assert agent.once() == 6
    until(lambda: receiver.deliveries, what="the try")
    assert [agent.once(), agent.once()] == [5, 5]
    assert len(receiver.deliveries) == 1
    receiver.gate.set()
    until(lambda: not waiting(deployed, "webhook", variables), what="the end of the try")


def test_a_weeks_old_notice_wakes_nobody(deployed, bad, receiver):
    """The receiver was away for too long."""
    variables = {URL: receiver.url}
    site = replace(deployed.site(), variables=variables)
    notices = notices_of(site)
    notices.note(site, bad.plan, bad.history)
    deployed.clock += STALE_S + 1
    assert send_waiting(replace(deployed.site(), variables=variables), notices, "webhook") == 0
    assert receiver.deliveries == []
    assert notices.waiting("webhook") == ()


def test_a_failed_try_leaves_the_notice_where_it_is(deployed, bad, receiver):
    """It goes only after it was taken."""
    receiver.status = 500
    site = replace(deployed.site(), variables={URL: receiver.url})
    notices = notices_of(site)
    notices.note(site, bad.plan, bad.history)
    with pytest.raises(Error, match="answered 500"):
        send_waiting(site, notices, "webhook")
    assert len(notices.waiting("webhook")) == 1


def test_an_issue_is_opened_once_and_closed_when_it_is_well(deployed, bad, hub):
    """One for environment, service and bundle, by its hidden marker."""
    variables = {**hub.environment_variables(NAME), ASKED: "issue"}
    told(deployed, bad, variables)
    told(deployed, deployed.run(), variables)
    ((number, issue),) = hub.state(NAME).issues.items()
    assert issue["state"] == "open"
    assert issue["title"].startswith("production/wine: wine 2 (")
    assert "was rolled back automatically" in issue["title"]
    assert "mlrelease rollback production --service wine --last-good" in issue["body"]
    told(deployed, mended(deployed), variables)
    assert hub.state(NAME).issues[number]["state"] == "closed"
    (comment,) = hub.state(NAME).comments_on(number)
    assert "is well again" in comment["body"]


def test_a_second_bad_version_is_an_issue_of_its_own(deployed, bad, hub):
    """Both are closed when a good one serves."""
    variables = {**hub.environment_variables(NAME), ASKED: "issue"}
    told(deployed, bad, variables)
    told(deployed, rolled_back(deployed, "3"), variables)
    assert [i["state"] for i in hub.state(NAME).issues.values()] == ["open", "open"]
    deployed.bump("wine", "4")
    told(deployed, deployed.run(), variables)
    assert [i["state"] for i in hub.state(NAME).issues.values()] == ["closed", "closed"]


def test_an_issue_that_may_have_been_opened_is_not_opened_twice(deployed, bad, hub):
    """The answer was lost after GitHub had acted: the next try finds it."""
    from support.github_server import lost

    variables = {**hub.environment_variables(NAME), ASKED: "issue"}
    hub.fault("POST /repos/*/issues", lost())
    told(deployed, bad, variables)
    told(deployed, bad, variables)
    assert len(hub.state(NAME).issues) == 1


def brought(world, hub, user="ann"):
    """The bad pin came by a pull request; its number. What was pushed is what GitHub merged."""
    remote = str(hub.git_path(NAME))
    git(world.laptop, "push", "--quiet", remote, "+refs/remotes/origin/main:refs/heads/main")
    git(world.laptop, "checkout", "--quiet", "-b", "bump")
    pin = world.pin("wine", "2")
    from mlrelease.spec.edit import set_model_pin

    path = world.model_file("wine")
    path.write_bytes(set_model_pin(path.read_bytes(), pin.version, pin.digest))
    git(world.laptop, "commit", "--quiet", "-am", "Pin wine 2")
    git(world.laptop, "push", "--quiet", remote, "bump")
    number = hub.open_pull(NAME, head="bump", user=user)
    merged = hub.merge(NAME, number)
    git(world.laptop, "checkout", "--quiet", "main")
    git(world.laptop, "fetch", "--quiet", remote, "main")
    git(world.laptop, "merge", "--quiet", "--ff-only", merged)
    git(world.laptop, "push", "--quiet", "origin", "main")
    return number


def test_the_pull_request_that_brought_it_is_told(deployed, hub):
    """In the conversation where it was decided; one comment, which says in the end that it is well."""
    number = brought(deployed, hub)
    bundle = deployed.desired().spec.environments["production"].services["wine"].bundle
    deployed.target.lie.add(bundle.id)
    bad_tip = deployed.desired().revision
    deployed.commit("Words on top: the tip is not what brought it")
    variables = {**hub.environment_variables(NAME), ASKED: "comment"}
    told(deployed, deployed.run(), variables)
    told(deployed, deployed.run(), variables)
    (comment,) = hub.state(NAME).comments_on(number)
    assert "was rolled back automatically" in comment["body"]
    deployed.revert(bad_tip)
    told(deployed, deployed.run(), variables)
    (comment,) = hub.state(NAME).comments_on(number)
    assert "is well again" in comment["body"]


def test_a_commit_that_came_without_a_pull_request_has_nobody_to_tell(deployed, bad, hub):
    """It was pushed: no comment, no error, and nothing that waits for ever."""
    variables = {**hub.environment_variables(NAME), ASKED: "comment"}
    told(deployed, bad, variables)
    assert hub.state(NAME).comments == []
    assert waiting(deployed, "comment", variables) == ()


def test_without_a_token_it_waits_and_says_so(deployed, bad, hub, logged):
    """The host was asked for issues and given nothing to open them with."""
    variables = {k: v for k, v in hub.environment_variables(NAME).items() if k != "GITHUB_TOKEN"} | {ASKED: "issue"}
    told(deployed, bad, variables)
    assert "there is no token" in logged.getvalue()
    assert len(waiting(deployed, "issue", variables)) == 1
    told(deployed, bad, {**hub.environment_variables(NAME), ASKED: "issue"})
    assert len(hub.state(NAME).issues) == 1


def test_texts_from_outside_are_inert_on_github(deployed, bad, hub):
    """A model's error message is nobody's Markdown, and mentions nobody."""
    said = "oops @everyone | <script> [x](http://evil) `code`"
    history = replace(bad.history, attempts={k: replace(a, reason=said) for k, a in bad.history.attempts.items()})
    site = replace(deployed.site(), variables={**hub.environment_variables(NAME), ASKED: "issue"})
    Teller().after_pass(site, bad.plan, history, wait_s=30.0)
    (issue,) = hub.state(NAME).issues.values()
    for active in ("@everyone", "<script>", "[x](", "`code`"):
        assert active not in issue["body"].partition("\n")[2]


def test_no_secret_is_logged_when_a_channel_fails(deployed, bad, receiver, logged):
    """The path of a webhook is one."""
    receiver.status = 500
    told(deployed, bad, {URL: receiver.url, SECRET: "hush"})
    said = logged.getvalue()
    assert "not told yet" in said
    assert "s3cr3t-path" not in said
    assert "hush" not in said


def test_a_full_disk_is_logged_and_the_pass_goes_on(deployed, bad, receiver, logged):
    """A file lies where the folder should be."""
    (deployed.site().state_dir / "notices").write_text("in the way")
    told(deployed, bad, {URL: receiver.url})
    assert "nobody is told" in logged.getvalue()
    assert receiver.deliveries == []


def test_a_repository_elsewhere_is_named_by_its_folder(deployed):
    """Where no GitHub is known, the receiver still sees which one it is."""
    assert notices_sending._repository(deployed.site()) == "origin"
    git(deployed.host, "remote", "set-url", "origin", "git@github.com:acme/models.git")
    assert notices_sending._repository(deployed.site(clone=deployed.host)) == NAME
