"""The control API over HTTP, beside the exchange's own paths: read statistics and inject faults at run time.

``GET /control`` returns statistics, faults and those in force; ``POST /control/<fault>?argument=...`` injects one.
"""

import json
from dataclasses import asdict
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from .faults import FAULTS, FaultTarget, inject
from .http import HttpResponse

__all__ = ["PREFIX", "respond"]

PREFIX = "/control"


class ControlTarget(FaultTarget, Protocol):
    """What the control API needs of the exchange."""

    def statistics(self) -> dict[str, Any]: ...


def respond(exchange: ControlTarget, verb: str, target: str) -> HttpResponse:
    """The answer to a request of the control API."""
    parts = urlsplit(target)
    name = parts.path.removeprefix(PREFIX).strip("/")
    if verb == "GET" and not name:
        return _json(200, _overview(exchange))
    if verb != "POST":
        return _json(405, {"error": "POST to strike"})
    try:
        inject(exchange, name, parse_qs(parts.query).get("argument", [""])[0])
    except ValueError as exc:
        return _json(404 if name not in FAULTS else 422, {"error": str(exc)})
    return _json(200, {"struck": name})


def _overview(exchange: ControlTarget) -> dict[str, Any]:
    active_faults = asdict(exchange.state.active_faults)
    return {
        "statistics": exchange.statistics(),
        "trouble": {name: sorted(value) if isinstance(value, set) else value for name, value in active_faults.items()},
        "faults": {name: fault.help for name, fault in FAULTS.items()},
    }


def _json(status: int, value: Any) -> HttpResponse:
    return HttpResponse(status, json.dumps(value).encode())
