"""Translations of the pages: which language a request gets, and the messages of each.

The catalogues `frontend/messages/*.json` are shared: templates read them here, scripts read them in the browser.
"""

import json
import re
from pathlib import Path

from starlette.requests import Request

__all__ = ["LANGUAGE_COOKIE", "Messages", "load_messages", "preferred_language"]

LANGUAGE_COOKIE = "language"

_ACCEPTED = re.compile(r"\s*([a-zA-Z]{2,3})(?:-[\w-]+)?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*\Z", re.ASCII)


class Messages:
    """The messages of one language, by key.

    A call with an unknown key raises KeyError, so that a page never shows an empty label.
    """

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts

    def __call__(self, key: str) -> str:
        return self.texts[key]


def load_messages(path: Path) -> Messages:
    """The catalogue in a JSON file."""
    return Messages(json.loads(path.read_text(encoding="utf-8")))


def preferred_language(request: Request, available: tuple[str, ...]) -> str:
    """The language for a request: `?lang=`, else the cookie, else the best match of Accept-Language, else English."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen in available:
            return chosen
    ranges = [_ACCEPTED.match(item) for item in request.headers.get("accept-language", "").split(",")]
    matches = [(float(match[2] or 1), match[1].lower()) for match in ranges if match]
    weight, language = max(
        (match for match in matches if match[1] in available), key=lambda match: match[0], default=(0.0, "en")
    )
    return language if weight > 0 else "en"
