"""Writes every message of a run as JSON lines that `cryptomarket simulate --replay` takes, without personal data."""

import contextlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from ..errors import StartError
from .clock import Clock
from .messages import Message
from .redaction import Redaction, is_personal

__all__ = ["MOST_RECORDED_BYTES", "MessageRecorder"]

#: A day of a few channels has 200 MB.
MOST_RECORDED_BYTES = 512 * 2**20


class MessageRecorder:
    """A file of lines ``{"received_at", "direction", "host", "raw"}``, or none without a path. A context manager.

    At the limit, or when the disk refuses, it stops writing and sets ``full``. Only the owner may read the file.
    """

    def __init__(self, path: Path | None, clock: Clock, *secrets: str, most_bytes: int) -> None:
        self.full = False
        self.lines = 0
        self._path = path
        self._clock = clock
        self._redaction = Redaction(*secrets)
        self._left = most_bytes
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Create the file. Raises StartError when it cannot be written."""
        if self._path is not None:
            try:
                number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            except OSError as exc:
                raise StartError(f"cannot write {self._path}: {exc.strerror}") from exc
            self._file = os.fdopen(number, "w", encoding="utf-8", buffering=1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # of a full disk, which was said
                self._file.close()

    def sent(self, text: str, *, host: str, method: str, http: bool = False) -> None:
        """Record what is sent."""
        self._write("out", text, host, http, personal=is_personal(method))

    def received(self, message: Message, *, host: str, method: str, http: bool = False) -> None:
        """Record what came; ``method`` is that of the request it answers."""
        self._write("in", message.raw, host, http, personal=is_personal(method, message.channel))

    def _write(self, direction: str, text: str, host: str, http: bool, *, personal: bool) -> None:
        raw = self._redaction.clean(text, personal=personal)  # also without a file: it learns the secrets
        if self._file is None or self.full:
            return
        line = {"received_at": round(self._clock.wall(), 6), "direction": direction, "host": host}
        line |= {"transport": "http"} if http else {}
        written = json.dumps(line | {"raw": raw}) + "\n"
        self._left -= len(written)
        if self._left < 0:
            self.full = True
            return
        try:
            self._file.write(written)
        except OSError:  # such as a full disk: the run goes on without
            self.full = True
            return
        self.lines += 1
