"""Which connections are counted, refused and closed, decided over values."""

from typing import Any

import pytest

from cryptomarket.addresses import WIDER
from cryptomarket.app.connection_limits import ConnectionLimits, Stage


def limits(**values: Any) -> ConnectionLimits[str]:
    """Limits of connections that are named by text."""
    return ConnectionLimits(**values)


def test_an_address_has_so_many_connections() -> None:
    """Above the limit a newcomer is not counted; a closed connection makes room."""
    found = limits(most_per_address=2)
    assert [found.opened(name, "192.0.2.1") for name in "abc"] == [None, None, "c"]
    assert found.opened("d", "192.0.2.2") is None
    found.closed("a")
    found.closed("a")
    assert found.opened("e", "::ffff:192.0.2.1") is None  # the same address on a socket of IPv6
    assert found.opened("f", "192.0.2.1") == "f"
    assert len(found) == 3


def test_an_idle_connection_gives_way_to_a_newcomer_of_its_address() -> None:
    """The oldest one, as a crowd behind one address leaves many; never one of another address."""
    found = limits(most_per_address=2)
    for name, host in {"a": "2001:db8::1", "b": "2001:db8::2", "other": "2001:db8:1::1"}.items():
        assert found.opened(name, host) is None
        found.moved(name, Stage.IDLE)
    found.moved("a", Stage.ANSWERING)
    found.moved("a", Stage.IDLE)
    for newcomer, gives_way in {"c": "b", "d": "a", "e": "e"}.items():
        assert found.opened(newcomer, "2001:db8::3") == gives_way
        found.closed(gives_way)
    assert len(found) == 3


def test_an_ipv6_client_is_counted_by_both_its_networks() -> None:
    """One /64 has the limit, all of a /48 have some times as many; another /48 is another client."""
    found = limits(most_per_address=2)
    opened = [found.opened(f"{i}-{j}", f"2001:db8:1:{i:x}::{j + 1}") for i in range(20) for j in range(3)]
    assert opened[:6] == [None, None, "0-2", None, None, "1-2"]
    assert opened.count(None) == 2 * WIDER
    assert found.opened("other", "2001:db8:2::1") is None


def test_a_trusted_proxy_is_not_counted_as_one_client() -> None:
    """The connections of the proxy count in all only."""
    found = limits(most_per_address=1, exempt={"192.0.2.1"}.__contains__)
    assert not any(found.opened(str(i), "192.0.2.1") for i in range(10))
    assert len(found) == 10


def test_nothing_is_remembered_of_closed_connections() -> None:
    """Neither connections nor addresses stay."""
    found = limits(most_per_address=1)
    for i in range(100):
        assert found.opened(str(i), f"2001:db8:{i:x}::1") is None
        found.moved(str(i), list(Stage)[i % 4], 7)
        found.received(str(i), 10)
        found.closed(str(i))
    assert (len(found), len(found._counts), found._incomplete_bytes, found._unread_bytes) == (0, 0, 0, 0)
    assert not found._idle
    assert not found._idle_of
    assert not found._incomplete
    assert not found._unread


def test_the_connection_that_is_missed_least_is_closed() -> None:
    """Idle ones go first, then the oldest half request, then the longest unread answer; the newcomer is the last."""
    found = limits(most=0)
    for name, stage in {
        "old": Stage.INCOMPLETE,
        "reads": Stage.ANSWERING,
        "unread": Stage.UNREAD,
        "new": Stage.INCOMPLETE,
        "idle": Stage.IDLE,
    }.items():
        assert found.opened(name, "192.0.2.1") is None
        if stage is not Stage.INCOMPLETE:
            found.moved(name, stage)
    closed = []
    while excess := found.excess():
        closed.append(excess)
        found.closed(excess[0])
    assert closed == [
        ("idle", None),
        ("old", "incomplete_request"),
        ("unread", "unread_answer"),
        ("new", "connections"),
    ]
    assert len(found) == 1  # the one that is being answered


@pytest.mark.parametrize("streams", [0, 3])
def test_streams_count_against_the_file_limit(streams: int) -> None:
    """Connections and streams share the files."""
    found = limits(most_with_streams=5, streams=lambda: streams)
    for i in range(5 - streams):
        assert found.opened(str(i), "192.0.2.1") is None
    assert found.excess() is None
    assert found.opened("more", "192.0.2.1") is None
    assert found.excess() == ("0", "incomplete_request")


def test_bytes_of_incomplete_requests_are_bounded_in_all() -> None:
    """The oldest incomplete request is given up; complete ones do not count."""
    found = limits(most_incomplete_bytes=100)
    for name in "abc":
        found.opened(name, "192.0.2.1")
        found.received(name, 50)
        if name == "a":
            found.moved("a", Stage.ANSWERING)
    assert found.excess() is None
    found.received("a", 50)
    assert found.excess() is None
    found.received("c", 1)
    assert found.excess() == ("b", "incomplete_request")
    found.closed("b")
    assert found.excess() is None


def test_unread_answers_are_bounded() -> None:
    """The one whose client has not read for the longest is given up; who reads again goes to the end."""
    found = limits(most_unread=2)
    for name in "abc":
        found.opened(name, "192.0.2.1")
    for name in "ab":
        found.moved(name, Stage.UNREAD)
    found.moved("a", Stage.ANSWERING)
    found.moved("a", Stage.UNREAD)
    assert found.excess() is None
    found.moved("c", Stage.UNREAD)
    assert found.excess() == ("b", "unread_answer")


def test_bytes_of_unread_answers_are_bounded_in_all() -> None:
    """Few large answers are given up as well; what is read again does not count."""
    found = limits(most_unread_bytes=100)
    for name in "abc":
        found.opened(name, "192.0.2.1")
        found.moved(name, Stage.UNREAD, 50)
        if name == "a":
            found.moved("a", Stage.ANSWERING)
    assert found.excess() is None
    found.moved("a", Stage.UNREAD, 1)
    assert found.excess() == ("b", "unread_answer")
    found.closed("b")
    assert found.excess() is None
