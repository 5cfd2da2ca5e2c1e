"""What git is given, what leaves it without credentials, and what each of its failures means, word for word."""

from __future__ import annotations

import os
import re
import threading
import time

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge import command
from mlrelease.forge.command import Completed, PushRefusedError, environment, failure, lock_left, refused_push, run

WORDS = st.text("abcXYZ019.-", min_size=1, max_size=8)


# -- credentials ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://bob:s3cret@h/r.git", "https://h/r.git"),
        ("https://s3cret@h/r.git", "https://h/r.git"),
        ("HTTPS://BOB:S3CRET@H/r.git", "HTTPS://H/r.git"),
        ("git+ssh://bob:s3cret@h:22/r", "git+ssh://h:22/r"),
        ("https://bob:s3@cret@h/r", "https://h/r"),
        ("https://bob:s3/cret@h/r.git", "https://h/r.git"),
        ("https://bob:8/s3cret@h/r.git", "https://bob:8/s3cret@h/r.git"),
        ("https://bob:s3?cret@h/r.git", "https://h/r.git"),
        ("https://h/r.git?token=s3cret", "https://h/r.git"),
        ("https://h/r.git#s3cret", "https://h/r.git"),
        ("https://bob:s3cret@h/r?token=s3cret#s3cret", "https://h/r"),
        ("fatal: unable to access 'https://bob:s3cret@h/r/?x=s3cret': no", "fatal: unable to access 'https://h/r/': no"),
        ("from https://a:s3cret@h/r to https://b:s3cret@i/r", "from https://h/r to https://i/r"),
        ('url "https://a:s3/cret@h" and "me@example.com"', 'url "https://h" and "me@example.com"'),
        ("https://h:8080/r@v1", "https://h:8080/r@v1"),
        ("https://[::1]:8080/r@v1", "https://[::1]:8080/r@v1"),
        ("https://h/~ann/r@v1", "https://h/~ann/r@v1"),
        ("git@github.com:acme/models.git", "git@github.com:acme/models.git"),
        ("/srv/git/a@b?c#d", "/srv/git/a@b?c#d"),
        ("no address: what? me@home", "no address: what? me@home"),
    ],
    ids=[
        "name and password",
        "a token alone",
        "in capitals",
        "another scheme",
        "a password with an at",
        "a password with a slash",
        "what looks like a port is one",
        "a password with a question mark",
        "a query",
        "a fragment",
        "all of them",
        "in a message of git's",
        "two in a line",
        "in double quotes, then a mail address",
        "a port and a path with an at",
        "an IPv6 host and a path with an at",
        "a path with an at",
        "the short form of ssh, which has no password",
        "a path",
        "no address at all",
    ],
)
def test_an_address_is_reduced_to_scheme_host_and_path(text, shown):
    """Everything that leaves a git command goes through this: logs, receipts, errors."""
    assert command.without_credentials(text) == shown


@settings(max_examples=60, deadline=None)
@given(user=WORDS, secret=st.text("abcXYZ09!$&:@%+=", min_size=6, max_size=12), host=WORDS, path=WORDS)
def test_whatever_the_password_it_is_not_shown(user, secret, host, path):
    """And twice is once: what was shown is shown the same again."""
    shown = command.without_credentials(f"fatal: https://{user}:{secret}@{host}/{path}?key={secret}: no")
    assert shown == f"fatal: https://{host}/{path} no"
    assert command.without_credentials(shown) == shown


def test_what_git_says_on_stderr_is_kept_without_credentials(tmp_path):
    """The output is left as it is: it may be a file."""
    done = run(["ls-remote", "http://bob:s3cret@127.0.0.1:9/r.git?k=s3cret"], cwd=tmp_path, deadline="git.remote")
    assert done.code == 128
    assert "127.0.0.1" in done.messages
    assert "s3cret" not in done.messages
    assert "bob" not in done.messages
    same = run(["hash-object", "--stdin"], cwd=tmp_path, stdin=b"x", deadline="git.local")
    assert (same.code, same.text, same.messages) == (0, "c1b0730e0133447badcfd47fd144e254807b06e1", "")


def test_what_is_no_text_is_marked_in_messages(tmp_path, monkeypatch):
    """A hook may say anything, in any encoding; the bytes of the output stay."""
    monkeypatch.setenv("PATH", program(tmp_path, "printf '\\n\\377 no \\n' >&2; printf 'a\\377'; exit 3"))
    done = run(["status"], cwd=tmp_path, deadline="git.local", extra={"PATH": os.environ["PATH"]})
    assert (done.code, done.out, done.messages) == (3, b"a\xff", "\ufffd no")
    refused = Completed(1, b"\xff!\trefs/heads/main:refs/heads/main\t[rejected] (fetch first)", "")
    assert failure(refused, doing="push", cwd=tmp_path, remote="origin").message == "origin refused the push: fetch first"


def test_the_output_as_text_is_stripped_and_never_fails():
    """Bytes that are no UTF-8 are marked."""
    assert Completed(0, b"\n a\xff b \n\n", "").text == "a\ufffd b"


# -- the environment -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [*sorted(command._NOT_INHERITED), "GIT_TRACE", "GIT_TRACE2_EVENT", "GIT_TRACE_CURL"],
)
def test_a_variable_that_leads_elsewhere_is_not_inherited(name):
    """Set by a hook, a rebase or an editor, it would have git read another repository, or speak in between."""
    assert environment({name: "x", "PATH": "/bin"}, {}) == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
    }


def test_every_variable_that_git_calls_local_is_known(tmp_path):
    """The list is git's own, so that a newer git with another one is noticed here."""
    done = run(["rev-parse", "--local-env-vars"], cwd=tmp_path, deadline="git.local")
    assert set(done.text.split()) - {"GIT_CONFIG_COUNT"} <= command._NOT_INHERITED


def test_a_persons_settings_stay_and_ours_win():
    """Identity, ssh and proxies are theirs; the language of messages and the refusal to ask are ours."""
    theirs = {"GIT_AUTHOR_NAME": "Ada", "GIT_SSH_COMMAND": "ssh -i key", "https_proxy": "http://p", "LC_ALL": "de_DE.UTF-8"}
    found = environment({**theirs, "GIT_TERMINAL_PROMPT": "1"}, {"GIT_INDEX_FILE": "/i", "GIT_AUTHOR_NAME": "Bot"})
    assert found == {
        "GIT_AUTHOR_NAME": "Bot",
        "GIT_SSH_COMMAND": "ssh -i key",
        "https_proxy": "http://p",
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_INDEX_FILE": "/i",
    }


# -- running -------------------------------------------------------------------------------------------------------


def program(folder, text):
    """A `git` that does this; its folder for PATH."""
    place = folder / "bin" / "git"
    place.parent.mkdir()
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)
    return str(place.parent)


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def is_gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_local_deadline_is_an_error_about_this_machine(tmp_path, monkeypatch):
    """Not an outage: trying again later helps nothing where a disk hangs. Its word is the command, not its arguments."""
    monkeypatch.setenv("PATH", program(tmp_path, "exec /bin/sleep 60"))
    monkeypatch.setattr(command, "DEADLINES_S", {"git.local": 0.2})
    with pytest.raises(Error) as raised:
        run(["status", "--secret"], cwd=tmp_path, deadline="git.local")
    assert type(raised.value) is Error
    assert raised.value.message == "git status did not end within 0.2 s"
    assert raised.value.hint == "see what holds the disk or git"
    assert raised.value.where == str(tmp_path)


def test_a_remote_deadline_is_an_outage(tmp_path, monkeypatch):
    """Then a pass tries again later."""
    monkeypatch.setenv("PATH", program(tmp_path, "exec /bin/sleep 60"))
    monkeypatch.setattr(command, "DEADLINES_S", {"git.remote": 0.2})
    with pytest.raises(UnavailableError) as raised:
        run(["fetch", "origin"], cwd=tmp_path, deadline="git.remote")
    assert raised.value.message == "git fetch did not end within 0.2 s"
    assert raised.value.hint == "see to the network and the git host"


def test_one_that_does_not_hear_sigterm_is_killed_with_what_it_started(tmp_path, monkeypatch):
    """First it may remove its lock files; then the session ends, helpers too."""
    text = f"trap '' TERM\n(trap '' TERM; echo $$ > {tmp_path}/started; while :; do /bin/sleep 0.05; done) &\n"
    monkeypatch.setenv("PATH", program(tmp_path, f"{text}echo $! > {tmp_path}/helper; while :; do /bin/sleep 0.05; done"))
    monkeypatch.setattr(command, "DEADLINES_S", {"git.local": 0.3})
    monkeypatch.setattr(command, "END_S", 0.2)
    with pytest.raises(Error, match="did not end within"):
        run(["gc"], cwd=tmp_path, deadline="git.local")
    pids = [int((tmp_path / name).read_text()) for name in ("started", "helper")]
    wait_until(lambda: all(map(is_gone, pids)))


def test_an_interrupt_ends_git_and_goes_on(tmp_path, monkeypatch):
    """Ctrl-C while git runs leaves no git behind that goes on writing."""
    monkeypatch.setenv("PATH", program(tmp_path, f"echo $$ > {tmp_path}/pid\nexec /bin/sleep 60"))
    real = command.subprocess.Popen.communicate

    def interrupted(process, data=None, timeout=None):
        if data is None:
            return real(process, timeout=timeout)
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        raise KeyboardInterrupt

    monkeypatch.setattr(command.subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(["gc"], cwd=tmp_path, deadline="git.local")
    assert is_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("prepare", "folder", "message", "hint"),
    [
        (None, "gone", "no such folder: {}/gone", "run it in a clone"),
        ("absent", ".", "git is not installed", "install git 2.30 or newer and see that it is on PATH"),
        ("broken", ".", "git could not be started: Exec format error", ""),
    ],
    ids=["the folder is gone", "there is no git", "git is no program"],
)
def test_a_git_that_does_not_start_says_why(tmp_path, monkeypatch, prepare, folder, message, hint):
    """Three reasons, three ways out."""
    if prepare == "absent":
        monkeypatch.setenv("PATH", str(tmp_path))
    if prepare == "broken":
        monkeypatch.setenv("PATH", program(tmp_path, ""))
        (tmp_path / "bin/git").write_bytes(b"\x7fELF no program")
    with pytest.raises(Error) as raised:
        run(["status"], cwd=tmp_path / folder, deadline="git.local")
    assert (raised.value.message, raised.value.hint) == (message.format(tmp_path), hint)


# -- failures ------------------------------------------------------------------------------------------------------

ANSWERS = "see that the git host answers and takes your credentials: git ls-remote origin"
ASK = "ask who may push there, or open a pull request"
LOCAL = [
    ("fatal: bad object HEAD", "could not read it: bad object HEAD", "", "{cwd}"),
    ("hint: one\nerror: second\nfatal: first", "could not read it: first", "", "{cwd}"),
    ("hint: one\nerror: broken index\nhint: two", "could not read it: broken index", "", "{cwd}"),
    ("one\n  two  \n\n", "could not read it: two", "", "{cwd}"),
    ("", "could not read it: exit code 7", "", "{cwd}"),
    (
        "fatal: not a git repository (or any of the parent directories): .git",
        "not a git repository: {cwd}",
        "run it in a clone, or make a repository with `mlrelease init`",
        None,
    ),
    (
        "fatal: detected dubious ownership in repository at '/srv/a b'\nTo add an exception",
        "git refuses /srv/a b: it belongs to another user",
        "git config --global --add safe.directory /srv/a b",
        "/srv/a b",
    ),
    *(
        (
            said,
            "git does not know who commits",
            'git config --global user.name "Your Name" && git config --global user.email you@example.com',
            None,
        )
        for said in (
            "Author identity unknown\n\n*** Please tell me who you are.",
            "fatal: empty ident name (for <>) not allowed",
            "fatal: no email was given and auto-detection is disabled",
        )
    ),
]


@pytest.mark.parametrize(
    ("messages", "message", "hint", "where"), LOCAL, ids=[case[0][:40] or "nothing said" for case in LOCAL]
)
def test_a_local_failure_is_one_line(tmp_path, messages, message, hint, where):
    """The line of git's that says what is wrong, and the way out where there is one."""
    error = failure(Completed(7, b"", messages), doing="read it", cwd=tmp_path)
    assert type(error) is Error
    assert (error.message, error.hint) == (message.format(cwd=tmp_path), hint.format(cwd=tmp_path))
    assert error.where == (where and where.format(cwd=tmp_path))


@pytest.mark.parametrize(
    ("messages", "out", "kind", "message", "hint"),
    [
        (
            "fatal: unable to access 'http://h/': Could not resolve host",
            b"",
            UnavailableError,
            "could not fetch: unable to access 'http://h/': Could not resolve host",
            ANSWERS,
        ),
        (
            "fatal: 'gone' does not appear to be a git repository\nfatal: not a git repository",
            b"",
            UnavailableError,
            "could not fetch: 'gone' does not appear to be a git repository",
            ANSWERS,
        ),
        (
            "fatal: couldn't find remote ref x",
            b"",
            Error,
            "could not fetch: couldn't find remote ref x",
            "see what it has: git ls-remote origin",
        ),
        (
            "error: failed to push",
            b"To h\n!\trefs/heads/main:refs/heads/main\t[rejected] (fetch first)\nDone",
            PushRefusedError,
            "origin refused the push: fetch first",
            "fetch, look at what is new there, and try again",
        ),
        (
            " ! [remote rejected] main -> main (pre-receive hook declined)",
            b"",
            PushRefusedError,
            "origin refused the push: pre-receive hook declined",
            ASK,
        ),
        (
            "! [rejected] main -> main",
            b"",
            PushRefusedError,
            "origin refused the push: ! [rejected] main -> main",
            ASK,
        ),
        *(
            (f"{said}\nfatal: no", b"", PushRefusedError, f"origin refused the push: {said}", ASK)
            for said in (
                "ERROR: Permission to acme/models.git denied to deploy-key.",
                "remote: Write access to repository not granted.",
                "ERROR: The key you are authenticating with has been marked as read only.",
            )
        ),
        ("", b"", UnavailableError, "could not fetch: exit code 128", ANSWERS),
    ],
    ids=[
        "no such host", "a path that is none", "a branch that is not there", "somebody was faster", "a rule", "no reason given",
        "GitHub's no to a key", "GitHub's no to a token", "GitHub's no to a key for reading", "nothing said",
    ],
)  # fmt: skip
def test_a_failure_with_a_remote_is_an_answer_or_an_outage(tmp_path, messages, out, kind, message, hint):
    """Whatever is not an answer of the remote counts as not reached."""
    error = failure(Completed(128, out, messages), doing="fetch", cwd=tmp_path, remote="origin")
    assert type(error) is kind
    assert (error.message, error.hint, error.where) == (message, hint, "origin")


@pytest.mark.parametrize(
    ("why", "messages", "stale"),
    [
        ("fetch first", "", True),
        ("non-fast-forward", "", True),
        ("stale info", "", True),
        ("already exists", "", True),
        ("incorrect old value provided", "", True),
        ("failed to update ref", "cannot lock ref 'refs/heads/x': is at 1 but expected 2", True),
        ("failed to update ref", "cannot lock ref 'refs/heads/x': reference already exists", True),
        ("failed to update ref", "No space left on device", False),
        ("pre-receive hook declined", "", False),
        ("protected branch hook declined", "", False),
    ],
)
def test_somebody_faster_is_told_from_a_rule(why, messages, stale):
    """Only then trying again makes sense."""
    error = refused_push("origin", why, messages)
    assert error.stale is stale
    assert error.hint.startswith("fetch, look" if stale else "ask who")


def test_a_lock_file_that_is_gone_again_was_one_of_a_git_at_work(tmp_path):
    """Between git's message and our look the other git ended."""
    messages = "fatal: Unable to create '.git/index.lock': File exists.\n\nAnother git process seems to be running"
    error = failure(Completed(128, b"", messages), doing="commit", cwd=tmp_path)
    assert error.message == f"another git is at work: {tmp_path}/.git/index.lock"
    assert error.hint == "try again in a moment"
    assert error.where == f"{tmp_path}/.git/index.lock"


def test_an_old_lock_file_is_named_with_its_age_and_the_way_to_remove_it(tmp_path):
    """Relative to the folder that git ran in, or absolute; young is what is younger than any local command may run."""
    lock = tmp_path / "index.lock"
    lock.touch()
    assert lock_left(lock, tmp_path).hint == "try again in a moment"
    at = time.time() - 10_000
    os.utime(lock, (at, at))
    for path in (lock, lock.relative_to(tmp_path)):
        error = lock_left(path, tmp_path)
        assert re.fullmatch(rf"a git that was killed 1000\d s ago left {re.escape(str(lock))}", error.message)
        assert error.hint == f"see that no git runs there, then: rm {lock}"
        assert error.where == str(lock)
