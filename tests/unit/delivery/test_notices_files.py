"""Notices as files: what is read back, what is dropped, what is sent first, and their whole texts for people."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.delivery.notices import KEPT, RECOVERED, Notice, Notices, notice_from_json
from mlrelease.delivery.notices_sending import (
    RETRY_MOST_S,
    STALE_S,
    Teller,
    body_of,
    channels_of,
    markdown,
    send_waiting,
)
from mlrelease.errors import Error
from support.place import NOW

NOTICE = Notice(
    id="production/wine/abc/rolled_back/1800000000000",
    subject="production/wine/abc",
    kind="rolled_back",
    environment="production",
    service="wine",
    revision="0123456789abcdef0123",
    at=NOW,
    reason="golden rows differ",
    before="wine 1 (serve:1)",
    after="wine 2 (serve:1)",
    tries=1,
    next="mlrelease rollback production --service wine --last-good",
    origin="0123456789abcdef0123",
    paths=("environments/production/models/wine.yaml",),
)

texts = st.text(max_size=40)
notices = st.builds(
    Notice,
    **dict.fromkeys(
        ("id", "subject", "environment", "service", "revision", "reason", "before", "after", "next", "origin"), texts
    ),
    kind=st.sampled_from(["rolled_back", "failed", "errored", RECOVERED]),
    at=st.floats(min_value=0, max_value=4e9),
    tries=st.integers(min_value=0, max_value=10**6),
    paths=st.lists(texts, max_size=3).map(tuple),
)


@settings(max_examples=30, deadline=None)
@given(notices)
def test_any_notice_survives_its_file(notice):
    """Whatever its texts hold."""
    assert notice_from_json(json.loads(json.dumps(notice.to_json()))) == notice


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "promoted"},
        {"kind": None},
        {"at": "2027-01-15"},
        {"at": None},
        {"tries": "1"},
        {"reason": ["golden"]},
        {"service": 7},
        {"paths": [1]},
        {"paths": "x.yaml", "tries": None},
        {"priority": "high"},
    ],
    ids=lambda changes: ", ".join(f"{key}={value!r}" for key, value in changes.items()),
)
def test_what_this_program_could_not_tell_is_no_notice(tmp_path, changes):
    """A newer version's kind, a number as a text: it is dropped with a word, and does not stop the one behind it."""
    data = NOTICE.to_json() | changes
    with pytest.raises(ValueError, match="no notice"):
        notice_from_json(data)
    out = tmp_path / "out"
    out.mkdir()
    (out / "1-bad@webhook.json").write_text(json.dumps(data))
    (out / "2-good@webhook.json").write_text(json.dumps(NOTICE.to_json()))
    assert [n for _, n in Notices(tmp_path, ["webhook"]).waiting("webhook")] == [NOTICE]
    assert [path.name for path in out.iterdir()] == ["2-good@webhook.json"]


@pytest.mark.parametrize(
    "content", ["[]", "null", "7", '"x"', "{", "\udce9"], ids=["list", "null", "7", "text", "torn", "latin"]
)
def test_json_that_is_no_object_is_dropped(tmp_path, content):
    """The same of half a file."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "x.json").write_bytes(content.encode(errors="surrogateescape"))
    assert Notices(tmp_path, []).open() == ()
    assert list((tmp_path / "open").iterdir()) == []


def test_a_file_that_may_not_be_read_is_said_and_stays(tmp_path):
    """It is no reason to forget what people were told."""
    (tmp_path / "open" / "x.json").mkdir(parents=True)
    with pytest.raises(Error) as caught:
        Notices(tmp_path, []).open()
    assert caught.value.message == f"{tmp_path}/open/x.json cannot be read: Is a directory"
    assert caught.value.hint == "give this user the folder"
    assert (tmp_path / "open" / "x.json").exists()


@settings(deadline=None)
@given(st.integers(min_value=10**12, max_value=4 * 10**12).map(lambda milliseconds: milliseconds / 1000))
def test_the_good_news_is_never_sent_before_the_bad(at):
    """Names of files count milliseconds, as the ledger does: a recovery made of the trouble's own moment sorts behind it."""
    from support import core

    plan = core.Story().plan(core.environment())
    stand = core.Change("wine", core.ChangeKind.NOOP, "", None, None)
    trouble = replace(NOTICE, at=at)
    (over,) = Notices._over(
        None, {trouble.subject: trouble}, set(), replace(plan, changes=(stand,)), core.History("production")
    )
    assert over.kind == RECOVERED
    assert int(over.at * 1000) > int(trouble.at * 1000)
    assert over.id == f"production/wine/abc/{RECOVERED}/{int(at * 1000)}"


class Told:
    """A channel that keeps what it is given; refuses what is in `refused`."""

    def __init__(self, refused=()):
        self.said, self.refused = [], refused

    def send(self, notice):
        if notice.id in self.refused:
            raise Error("not taken")
        self.said.append(notice.id)


@pytest.fixture
def outbox(place, monkeypatch):
    """Notices a, b and c for one channel, which is a list."""
    told = Told()
    monkeypatch.setattr("mlrelease.delivery.notices_sending.channel_of", lambda site, name: told)
    notices = Notices(place.root / "state" / "notices", ["webhook"])
    for number, name in enumerate("abc"):
        notices._put(replace(NOTICE, id=name, subject=f"production/wine/{name}", at=place.clock + number))
    return notices, told


def test_the_oldest_is_told_first_and_each_once(place, outbox):
    """By the moment of the news, whatever the files are called."""
    notices, told = outbox
    assert send_waiting(place.site(), notices, "webhook") == 3
    assert told.said == ["a", "b", "c"]
    assert send_waiting(place.site(), notices, "webhook") == 0


def test_one_that_is_refused_waits_and_so_does_what_comes_after_it(place, outbox):
    """Order matters: a recovery is not told before its trouble. What was taken does not come again."""
    notices, told = outbox
    told.refused = ("b",)
    with pytest.raises(Error, match="not taken"):
        send_waiting(place.site(), notices, "webhook")
    assert [n.id for _, n in notices.waiting("webhook")] == ["b", "c"]
    told.refused = ()
    assert send_waiting(place.site(), notices, "webhook") == 2
    assert told.said == ["a", "b", "c"]


def test_exactly_a_week_old_is_still_told(place, outbox):
    """A moment older is not, and does not wait any longer either."""
    notices, told = outbox
    place.clock += STALE_S + 1
    assert send_waiting(place.site(), notices, "webhook") == 2
    assert told.said == ["b", "c"]
    assert notices.waiting("webhook") == ()


def test_a_channel_s_name_is_not_part_of_another_s(tmp_path):
    """What waits for one is not what waits for the other."""
    notices = Notices(tmp_path, ["issue", "comment"])
    notices._put(NOTICE)
    assert [len(notices.waiting(name)) for name in ("issue", "comment", "sue", "webhook")] == [1, 1, 0, 0]
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [
        f"001800000000000-production~wine~abc-rolled_back@{name}.json" for name in ("comment", "issue")
    ]


def test_the_newest_stay_when_nobody_takes_them(tmp_path):
    """Of one channel as many as are kept; the oldest are dropped."""
    notices = Notices(tmp_path, ["webhook"])
    (tmp_path / "out").mkdir()
    for number in range(KEPT):
        (tmp_path / "out" / f"{number:015d}-x-failed@webhook.json").write_text("{}")
    notices._put(NOTICE)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == KEPT
    assert names[0].startswith("000000000000001-")
    assert "rolled_back" in names[-1]


def test_a_receiver_that_is_gone_for_months_is_still_tried_each_hour(place, outbox):
    """The wait doubles up to an hour and stays there, however often it failed."""
    notices, told = outbox
    told.refused = ("a",)
    for tries in (1, 2, 7, 8, 2000):
        teller = Teller(_tries={"webhook": tries - 1})
        before = time.monotonic()
        teller._send_all(place.site(), notices, ["webhook"])
        pause = teller._not_before["webhook"] - before
        expected = min(30.0 * 2 ** min(tries - 1, 10), RETRY_MOST_S)
        assert expected <= pause < expected + 30
        assert teller._tries == {"webhook": tries}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("issue", ("issue",)),
        (" issue ,, comment,issue", ("issue", "comment")),
        ("comment,issue", ("comment", "issue")),
        (" , ", ()),
    ],
)
def test_channels_as_a_person_writes_them(words, expected):
    """Spaces, empty words and repeats do no harm; the webhook is first."""
    assert channels_of({"MLRELEASE_NOTICES": words}) == expected
    both = {"MLRELEASE_NOTICES": words, "MLRELEASE_WEBHOOK_URL": "https://x"}
    assert channels_of(both) == ("webhook", *expected)


@pytest.mark.parametrize("word", ["webhook", "Issue", "mail", "issue comment"])
def test_a_word_that_is_no_channel_is_named_with_the_way_out(word):
    """A webhook is asked for by its address, not by its name."""
    with pytest.raises(Error) as caught:
        channels_of({"MLRELEASE_NOTICES": f"issue,{word}"})
    assert caught.value.message == f"MLRELEASE_NOTICES has {word!r}, which is no way to tell people"
    assert caught.value.hint == "MLRELEASE_NOTICES=issue,comment"


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("rolled_back", "production/wine: wine 2 (serve:1) was rolled back automatically"),
        ("failed", "production/wine: wine 2 (serve:1) failed, and nothing verified serves it"),
        ("errored", "production/wine: wine 2 (serve:1) cannot be deployed: errored 6 times"),
        (RECOVERED, "production/wine: is well again"),
    ],
)
def test_each_kind_has_its_title(kind, title):
    """One line for people."""
    assert replace(NOTICE, kind=kind, tries=6).title == title


def test_the_whole_text_on_github():
    """Trouble says what was wanted and what serves; a recovery says only that it is over."""
    assert markdown(NOTICE) == (
        "**production/wine: wine 2 (serve:1) was rolled back automatically**\n"
        "\n"
        "- why: golden rows differ\n"
        "- wanted: wine 2 (serve:1)\n"
        "- serves: wine 1 (serve:1)\n"
        "- at `0123456789ab`, 2027-01-15T08:00:00.000Z\n"
        "\n"
        "Next: `mlrelease rollback production --service wine --last-good`\n"
    )
    assert markdown(replace(NOTICE, kind=RECOVERED, next="mlrelease status production")) == (
        "**production/wine: is well again**\n"
        "\n"
        "- why: golden rows differ\n"
        "- at `0123456789ab`, 2027-01-15T08:00:00.000Z\n"
        "\n"
        "Next: `mlrelease status production`\n"
    )


def test_the_whole_body_of_the_webhook():
    """Every key is there, whatever the kind."""
    assert body_of(NOTICE, "acme/models") == {
        "schema": 1,
        "id": "production/wine/abc/rolled_back/1800000000000",
        "subject": "production/wine/abc",
        "kind": "rolled_back",
        "environment": "production",
        "service": "wine",
        "repository": "acme/models",
        "revision": "0123456789abcdef0123",
        "at": "2027-01-15T08:00:00.000Z",
        "reason": "golden rows differ",
        "before": "wine 1 (serve:1)",
        "after": "wine 2 (serve:1)",
        "next": "mlrelease rollback production --service wine --last-good",
        "text": (
            "production/wine: wine 2 (serve:1) was rolled back automatically: golden rows differ "
            "(next: mlrelease rollback production --service wine --last-good)"
        ),
    }
