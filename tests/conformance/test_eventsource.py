"""The parser of event streams follows the specification."""

import time

import pytest

from cryptomarket.conformance.eventsource import EventSourceParser, MessageEvent, parse


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "")]),
        (b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
         [("message", "first event", "1"), ("message", "second event", ""), ("message", " third event", "")]),
        (b"data\n\ndata\ndata\n\ndata:", [("message", "", ""), ("message", "\n", "")]),
        (b"data:test\n\ndata: test\n\n", [("message", "test", ""), ("message", "test", "")]),
        (b"\xef\xbb\xbfdata: bom\r\revent: a\rdata: b\r\n\r\n", [("message", "bom", ""), ("a", "b", "")]),
        (b"id: 1\0\ndata: x\n\nid: 7-1\n\ndata: y\n\n", [("message", "x", ""), ("message", "y", "7-1")]),
        (b"data: unfinished\n", []),
        (b"data: a\r\n\ndata: b\n\r\n", [("message", "a", ""), ("message", "b", "")]),
    ],
)  # fmt: skip
def test_parses_the_examples_of_the_specification(stream: bytes, events: list[tuple[str, str, str]]) -> None:
    """Whole or byte by byte, the examples have the events that the specification names."""
    expected = [MessageEvent(*event) for event in events]
    assert parse(stream) == expected
    parser = EventSourceParser()
    assert [event for i in range(len(stream)) for event in parser.receive(stream[i : i + 1])] == expected


def test_retry_accepts_only_digits() -> None:
    """A `retry:` with other characters is ignored."""
    parser = EventSourceParser()
    parser.receive(b"retry: 3000\nretry: 1x\nretry:\nretry: -1\n")
    assert parser.retry == 3000


def test_retry_of_too_many_digits_is_ignored() -> None:
    """A number that no browser can hold is ignored; Python would refuse to read it."""
    parser = EventSourceParser()
    parser.receive(b"retry: 3000\nretry: " + b"1" * 5000 + b"\n\n")
    assert parser.retry == 3000


def test_a_long_line_in_small_pieces_takes_linear_time() -> None:
    """A line of 8 MB in pieces of 2 KB is one event within seconds; its parts are not joined for each piece."""
    piece, parser, began = b"x" * 2000, EventSourceParser(), time.process_time()
    parser.receive(b"data: ")
    for _ in range(4000):
        assert parser.receive(piece) == []
    (event,) = parser.receive(b"\n\n")
    assert len(event.data) == 8_000_000
    assert time.process_time() - began < 5


def test_an_unknown_field_is_an_error() -> None:
    """A browser would ignore an unknown field, so it would be our mistake."""
    with pytest.raises(ValueError, match="foo"):
        parse(b"foo: 1\n")
