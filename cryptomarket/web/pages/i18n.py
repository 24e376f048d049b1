"""The words of the pages in each language: one catalogue of JSON, read by templates here and by scripts there."""

import json
import re
from pathlib import Path

from starlette.requests import Request

__all__ = ["LANGUAGE_COOKIE", "Messages", "best_language", "read_words"]

LANGUAGE_COOKIE = "language"

_ASKED = re.compile(r"\s*([a-zA-Z]{2,3})(?:-[\w-]+)?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*\Z", re.ASCII)


class Messages:
    """One language: called with a name it gives the text; a name nobody wrote down is an error, not an empty page."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts

    def __call__(self, name: str) -> str:
        return self.texts[name]


def read_words(path: Path) -> Messages:
    """The catalogue in a file."""
    return Messages(json.loads(path.read_text(encoding="utf-8")))


def best_language(request: Request, known: tuple[str, ...]) -> str:
    """The language of `?lang=`, of the cookie, or the one the browser likes best; English when it knows none."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen in known:
            return chosen
    asked = [_ASKED.match(part) for part in request.headers.get("accept-language", "").split(",")]
    liked = [(float(match[2] or 1), match[1].lower()) for match in asked if match and match[1].lower() in known]
    best = max(liked, key=lambda entry: entry[0], default=(0.0, "en"))
    return best[1] if best[0] > 0 else "en"
