"""A strict parser of event streams, written from the specification alone: it shares no code with our encoder.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import codecs
import json
import re
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LINE_END", "MILLISECONDS", "EventSourceParser", "MessageEvent", "parse"]

LINE_END = re.compile("\r\n|\n|\r")
#: A reconnection time; a number that no browser can hold is ignored.
MILLISECONDS = re.compile("[0-9]{1,18}")


@dataclass(frozen=True)
class MessageEvent:
    """An event as a browser dispatches it: its type, its data, and the last event id at that moment."""

    event: str
    data: str
    id: str

    @property
    def json(self) -> Any:
        """The data as JSON."""
        return json.loads(self.data)


@dataclass
class EventSourceParser:
    """Parses bytes, cut anywhere, into events; an unfinished last event is dropped.

    Raises UnicodeDecodeError for bytes that are not UTF-8, and ValueError for a field that the specification does not
    know. When not ``strict`` it does what a browser does: it replaces the bytes by U+FFFD and ignores the field.
    """

    last_event_id: str = ""
    retry: int | None = None
    comments: list[str] = field(default_factory=list)
    retries: list[int] = field(default_factory=list)
    strict: bool = True

    def __post_init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("strict" if self.strict else "replace")
        self._line: list[str] = []
        self._begun = False
        self._after_cr = False
        self._id = self.last_event_id
        self._type = ""
        self._data: list[str] = []

    def receive(self, chunk: bytes) -> list[MessageEvent]:
        """Add bytes; return the events that they complete."""
        text = self._decode.decode(chunk)
        if text and not self._begun:
            self._begun = True
            text = text.removeprefix("\ufeff")  # "one leading U+FEFF BYTE ORDER MARK character must be ignored"
        if text and self._after_cr:
            self._after_cr = False
            text = text.removeprefix("\n")
        self._after_cr = self._after_cr or text.endswith("\r")
        continued, *lines = LINE_END.split(text)
        self._line.append(continued)  # joined once, since a long line may come in many pieces
        if not lines:
            return []
        lines, self._line = ["".join(self._line), *lines[:-1]], lines[-1:]
        return [event for line in lines if (event := self._interpret(line)) is not None]

    def _interpret(self, line: str) -> MessageEvent | None:
        if line == "":
            return self._dispatch()
        if line.startswith(":"):
            self.comments.append(line[1:])
            return None
        name, _, value = line.partition(":")
        self._field(name, value.removeprefix(" "))
        return None

    def _field(self, name: str, value: str) -> None:
        match name:
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
            case "id":
                if "\0" not in value:
                    self._id = value
            case "retry":
                if MILLISECONDS.fullmatch(value):
                    self.retry = int(value)
                    self.retries.append(self.retry)
            case _ if self.strict:
                raise ValueError(f"a browser would ignore the field {name!r}")

    def _dispatch(self) -> MessageEvent | None:
        self.last_event_id = self._id
        data, kind = self._data, self._type
        self._data, self._type = [], ""
        if not data:
            return None
        return MessageEvent(kind or "message", "\n".join(data), self.last_event_id)


def parse(stream: bytes) -> list[MessageEvent]:
    """Return the events of a whole stream."""
    return EventSourceParser().receive(stream)
