"""Translations of the pages: which language a request gets, and the messages of each.

The catalogues `frontend/messages/*.json` are shared: templates read them here, scripts read them in the browser.
"""

import json
from pathlib import Path

from starlette.requests import Request

from ...cookies import cookie_value

__all__ = ["LANGUAGE_COOKIE", "Messages", "load_messages", "preferred_language"]

LANGUAGE_COOKIE = "language"

#: How much of Accept-Language is read: browsers send less than 200 characters, and the rest has the lowest weights.
MOST_CHARACTERS = 1_000


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
    header = request.headers.get
    for chosen in (request.query_params.get("lang"), cookie_value(header("cookie", ""), LANGUAGE_COOKIE)):
        if chosen in available:
            return chosen
    ranges = map(_language_range, header("accept-language", "")[:MOST_CHARACTERS].split(","))
    matches = [(weight, language) for weight, language in ranges if weight > 0 and language in available]
    return max(matches, key=lambda match: match[0], default=(0.0, "en"))[1]


def _language_range(text: str) -> tuple[float, str]:
    """The weight and the primary language of a language range such as `de-AT;q=0.8`; weight 0 when it is malformed."""
    tag, *parameters = text.split(";")
    language, _, _ = tag.strip().partition("-")
    return _weight(parameters[0].strip()) if parameters else 1.0, language.lower()


def _weight(parameter: str) -> float:
    """The number of `q=0.8`; 0 when it is not between 0 and 1 with at most three decimals."""
    name, _, number = parameter.partition("=")
    whole, _, decimals = number.partition(".")
    valid = name == "q" and whole in ("0", "1") and len(decimals) <= 3 and (decimals or "0").isdecimal()
    return float(number) if valid and number.isascii() else 0.0
