"""Who may listen on the environment's port, who does, and one proxy at a time coming up on it."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from contextlib import closing

import pytest
from mlrelease.errors import Error
from mlrelease.targets.local import port
from mlrelease.targets.local.port import Listen, check_free, locked, own_listens
from support.local_target import free_port

HERE = os.getpid()


def at(address, number):
    text = f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
    return Listen(text, address, number)


@pytest.fixture
def listener():
    """Something of this process that listens on a free port of the loopback address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield at("127.0.0.1", listener.getsockname()[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a..b:80", "target.listen names a host without an address: a..b"),
        ("x" * 64 + ":80", f"target.listen names a host without an address: {'x' * 64}"),
        ("127.0.0.1:" + "1" * 5000, f"target.listen is not host:port: 127.0.0.1:{'1' * 5000}"),
        ("127.0.0.1:-1", "target.listen is not host:port: 127.0.0.1:-1"),
        ("127.0.0.1: 80", "target.listen is not host:port: 127.0.0.1: 80"),
        ("127.0.0.1:٨٠", "target.listen is not host:port: 127.0.0.1:٨٠"),
        ("", "target.listen is not host:port: "),
        (":", "target.listen is not host:port: :"),
        ("[]:80", "target.listen is not host:port: []:80"),
    ],
    ids=[
        "an empty label",
        "a label that is too long for any name",
        "a number without end",
        "below zero",
        "a space",
        "digits of another script",
        "nothing",
        "a colon",
        "empty brackets",
    ],
)
def test_what_is_no_address_is_an_error_with_an_example(text, message):
    """Whatever the library raises about it."""
    with pytest.raises(Error) as caught:
        port.parse(text)
    assert (caught.value.message, caught.value.hint) == (message, "for example 127.0.0.1:8080")


@pytest.mark.parametrize("number", [1, 65535])
def test_every_port_of_the_range_is_one(number):
    """The first and the last."""
    assert port.parse(f"127.0.0.1:{number}").port == number


def test_a_free_port_is_free(listener):
    """Nobody listens there, and a listener on another port is no hindrance."""
    check_free(at("127.0.0.1", free_port()), [])


def test_a_port_is_free_again_although_connections_linger():
    """What was closed a moment ago waits in the kernel; a proxy may come up all the same."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", number)):
            accepted, _ = server.accept()
            accepted.close()  # closed first on this side: the port stays in TIME_WAIT
    check_free(at("127.0.0.1", number), [])


def test_a_listener_of_somebody_else_is_named_with_its_process(listener):
    """And with two ways out."""
    with pytest.raises(Error) as caught:
        check_free(listener, own=[1])
    assert caught.value.message == f"{listener.text} cannot be used: taken by process {HERE}"
    assert caught.value.hint == "end that process, or set another target.listen in environment.yaml"
    assert caught.value.where == listener.text


def test_the_proxys_own_listener_is_no_hindrance(listener):
    """It is the one that will be replaced."""
    check_free(listener, own=[HERE])


def test_a_port_taken_by_nobody_that_is_known_is_no_port_of_ours():
    """Bound and not listening: neither the proxy's nor anybody's that could be named."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        listen = at("127.0.0.1", bound.getsockname()[1])
        with pytest.raises(Error) as caught:
            check_free(listen, own=[HERE])
    assert caught.value.message == f"{listen.text} cannot be used: taken"


def test_an_address_that_is_not_this_machines_says_so():
    """Another reason than a listener (192.0.2.0/24 is for documentation)."""
    with pytest.raises(Error, match=r"^192\.0\.2\.1:8080 cannot be used: Cannot assign requested address$"):
        check_free(at("192.0.2.1", 8080), [])


def test_who_listens_is_told_by_address_and_port(listener):
    """A wildcard is every address, on either side; another address or port is another listener."""
    assert own_listens(listener, [HERE])
    assert own_listens(at("0.0.0.0", listener.port), [HERE])  # noqa: S104 - compared, not bound
    assert not own_listens(listener, [1])
    assert not own_listens(at("127.0.0.2", listener.port), [HERE])
    assert not own_listens(at("127.0.0.1", free_port()), [HERE])
    with socket.create_server(("0.0.0.0", 0)) as everywhere:  # noqa: S104 - that is what the test is about
        assert own_listens(at("127.0.0.1", everywhere.getsockname()[1]), [HERE])


def test_a_client_of_the_port_does_not_listen_there(listener):
    """Only listening counts, not being connected."""
    with socket.create_connection(("127.0.0.1", listener.port)) as client:
        assert not own_listens(at("127.0.0.1", client.getsockname()[1]), [HERE])


# ---- the lock


@pytest.fixture
def locks(tmp_path, monkeypatch):
    """The folder in which the port locks of this user lie."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"mlrelease-{os.geteuid()}"


def test_the_second_waits_until_the_first_is_done(locks):
    """One at a time on one port; another port is another lock."""
    events = []
    listen = at("127.0.0.1", 8080)

    def second():
        with locked(listen):
            events.append("second")

    with locked(listen):
        thread = threading.Thread(target=second, daemon=True)
        thread.start()
        with locked(at("127.0.0.1", 8081)):
            events.append("other port")
        thread.join(0.1)
        assert thread.is_alive()
        events.append("first")
    thread.join(10)
    assert events == ["other port", "first", "second"]


def test_the_lock_is_given_back_after_a_failure(locks):
    """A proxy that does not come up does not close the port to the next."""
    listen = at("127.0.0.1", 8080)
    with pytest.raises(KeyError), locked(listen):
        raise KeyError
    with locked(listen):
        assert sorted(p.name for p in locks.iterdir()) == ["port-8080.lock"]
    assert (locks.stat().st_mode & 0o777, (locks / "port-8080.lock").stat().st_mode & 0o777) == (0o700, 0o600)


def _a_link(folder):
    folder.with_name("elsewhere").mkdir()
    folder.symlink_to(folder.with_name("elsewhere"))


def _a_linked_lock(folder):
    folder.mkdir()
    (folder / "port-8080.lock").symlink_to(folder / "victim")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (_a_link, "the folder of port locks belongs to somebody else"),
        (lambda folder: folder.write_text(""), "the port cannot be locked: File exists"),
        (_a_linked_lock, "the port cannot be locked: Too many levels of symbolic links"),
    ],
    ids=["a link in the place of the folder", "a file in its place", "a link in the place of the lock"],
)
def test_a_place_that_somebody_else_prepared_is_not_used(locks, prepare, message):
    """The folder for temporary files belongs to everybody: nothing is followed, nothing is written elsewhere."""
    prepare(locks)
    with pytest.raises(Error) as caught, locked(at("127.0.0.1", 8080)):
        pytest.fail("never locked")
    assert (caught.value.message, caught.value.where) == (message, str(locks))
    assert not (locks.parent / "victim").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_used(locks):
    """Whoever owns it could take the lock away."""
    locks.mkdir()
    os.chown(locks, 65534, 65534)
    with pytest.raises(Error, match=r"^the folder of port locks belongs to somebody else$"), locked(at("127.0.0.1", 8080)):
        pytest.fail("never locked")


def test_a_name_with_two_addresses_means_the_older_kind(monkeypatch):
    """IPv4 is what `curl localhost` and health checks expect, in whatever order the resolver names them."""
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 80, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: list(found))
    assert port.parse("localhost:80").address == "127.0.0.1"
    del found[1]
    assert port.parse("localhost:80").reachable == ("::1", 80)
