"""Streams as bytes, and the events that they contain according to the specification.

The names are those of files of web-platform-tests that test the same in a browser; the bytes are written from
https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from dataclasses import dataclass

__all__ = ["CORPUS", "Dispatched", "Entry"]

#: Type, data and last event id, as a browser dispatches them.
Dispatched = tuple[str, str, str]

LONG = b"x" * 2048
#: Characters that end a line for Python's `splitlines`, but not in an event stream.
NO_LINE_END = "a\u2028b\u0085c\x0bd\x0ce\x1cf"


@dataclass(frozen=True)
class Entry:
    """One whole stream, and the events that a browser dispatches for it."""

    name: str
    stream: bytes
    events: list[Dispatched]

    @property
    def names(self) -> list[str]:
        """The types of its events."""
        return sorted({event for event, _, _ in self.events})


def message(*texts: str, last: str = "") -> list[Dispatched]:
    """Return events of the default type."""
    return [("message", text, last) for text in texts]


CORPUS = [
    Entry("field-data", b"data:\n\ndata\ndata\n\ndata:test\n\n", message("", "\n", "test")),
    Entry("field-event", b"event:test\ndata:x\n\ndata:y\n\n", [("test", "x", ""), ("message", "y", "")]),
    Entry("field-event-empty", b"event: \ndata:data\n\n", message("data")),
    Entry(
        "field-unknown",
        b"data:test\n data\ndata\nfoobar:xxx\njusttext\n:comment\ndata:test\n\n",
        message("test\n\ntest"),
    ),
    Entry(
        "field-parsing",
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\n"
        b"data:3\rdata:\r\n data:32\ndata:4\n\n",
        message("\0\n 2\n1\n3\n\n4"),
    ),
    Entry("field-id", b"id: 1\ndata: x\n\ndata: y\n\n", message("x", "y", last="1")),
    Entry("field-id-empty", b"id: 1\ndata: x\n\nid\ndata: y\n\n", [("message", "x", "1"), ("message", "y", "")]),
    Entry("field-id-null", b"id: 7\ndata: x\n\nid: 8\0\ndata: y\n\n", message("x", "y", last="7")),
    Entry("field-id-alone", b"id: 3\n\ndata: y\n\n", message("y", last="3")),
    Entry("field-event-alone", b"event: foo\n\ndata: y\n\n", message("y")),
    Entry("field-retry", b"retry: 3000\n\ndata: x\n\n", message("x")),
    Entry("field-retry-bogus", b"retry: 3000x\nretry:\nretry: -1\ndata: x\n\n", message("x")),
    Entry("newlines", b"data:test\r\ndata\ndata:test\r\n\r\n", message("test\n\ntest")),
    Entry("newlines-cr", b"data: a\r\rdata: b\r\r", message("a", "b")),
    Entry("newlines-mixed", b"data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\n", message("a\nb\nc", "d")),
    Entry(
        "newlines-not", "data: a\u2028b\u0085c\x0bd\x0ce\x1cf\n\n".encode(), message("a\u2028b\u0085c\x0bd\x0ce\x1cf")
    ),
    Entry("leading-space", b"data:\ttest\rdata: \ndata:  test\n\n", message("\ttest\n\n test")),
    Entry("null-character", b"data:\0\n\n\n\n", message("\0")),
    Entry("utf-8", "data:ok… 🪙 ₿\n\n".encode(), message("ok… 🪙 ₿")),
    Entry("bom", b"\xef\xbb\xbfdata:1\n\n\xef\xbb\xbfdata:2\n\ndata:3\n\n", message("1", "3")),
    Entry("bom-2", b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\n", message("2")),
    Entry(
        "comments",
        b"data:1\r:\0\n:\r\ndata:2\n:" + LONG + b"\rdata:3\n:data:fail\r:" + LONG + b"\ndata:4\n\n",
        message("1\n2\n3\n4"),
    ),
    Entry("before-final-empty-line", b"data:test1\n\nid:test\ndata:test2", message("test1")),
    Entry("before-final-line-end", b"data:test1\n\nid:test\ndata:test2\n", message("test1")),
    Entry(
        "price",
        b'id: 7-20519\nevent: btc_usd\ndata: {"ticker":"btc_usd","price":64250.13}\n\n'
        b'event: connection\ndata: {"kind":"heartbeat","time":1,"ages":{}}\n\n',
        [
            ("btc_usd", '{"ticker":"btc_usd","price":64250.13}', "7-20519"),
            ("connection", '{"kind":"heartbeat","time":1,"ages":{}}', "7-20519"),
        ],
    ),
]
