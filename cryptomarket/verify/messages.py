"""Messages of the exchange as verify reads them: parsed without the client's decoder, which could hide a difference."""

import json
from dataclasses import dataclass
from typing import Any

__all__ = ["Message"]


@dataclass(frozen=True, slots=True)
class Message:
    """One frame or HTTP body: when it came (seconds of the run's clock), its text, and its JSON or None."""

    at: float
    raw: str
    body: Any
    status: int = 0

    @classmethod
    def read(cls, at: float, raw: str | bytes, status: int = 0) -> "Message":
        """Read a frame or a body; text that is no JSON has no body."""
        text = raw if isinstance(raw, str) else raw.decode(errors="replace")
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        return cls(at, text, body, status)

    def get(self, key: str) -> Any:
        """A value of the outer object."""
        return self.body.get(key) if isinstance(self.body, dict) else None

    @property
    def result(self) -> Any:
        """The result; None for an error."""
        return self.get("result")

    @property
    def error(self) -> dict[str, Any]:
        """The error; empty for a result."""
        error = self.get("error")
        return error if isinstance(error, dict) else {}

    @property
    def code(self) -> int:
        """The error code; 0 for a result."""
        code = self.error.get("code")
        return code if isinstance(code, int) else 0

    @property
    def reason(self) -> tuple[Any, Any]:
        """``reason`` and ``param`` of an error's data."""
        data = self.error.get("data")
        return (data.get("reason"), data.get("param")) if isinstance(data, dict) else (None, None)

    @property
    def answers(self) -> bool:
        """Whether it answers a request, and is no notification."""
        return isinstance(self.body, dict) and "method" not in self.body

    @property
    def channel(self) -> str:
        """The channel of a notification; empty for anything else."""
        return str(self._params("subscription").get("channel", ""))

    @property
    def data(self) -> Any:
        """The data of a notification."""
        return self._params("subscription").get("data")

    @property
    def heartbeat(self) -> str:
        """``heartbeat`` or ``test_request``; empty for anything else."""
        return str(self._params("heartbeat").get("type", ""))

    def _params(self, method: str) -> dict[str, Any]:
        params = self.get("params")
        return params if self.get("method") == method and isinstance(params, dict) else {}
