"""The pages, and the files they are made of: templates filled here, scripts and styles served as they lie.

A page is complete without a script but for what moves; it says nothing a template could not escape.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from ...market.latest import LatestValues
from .i18n import LANGUAGE_COOKIE, Messages, best_language, read_words

__all__ = ["page_routes"]

HERE = Path(__file__).parent
FRONTEND = HERE.parent / "frontend"

#: Pages and scripts change together with the program: asked for again each time, answered 304 when nothing changed.
FRESH = "no-cache"

YEAR_SECONDS = 365 * 86_400

#: The pages in the head of each: address and name of its words.
PLACES = (("/", "nav.board"), ("/history", "nav.history"), ("/status", "nav.status"))

_PAGE_HEADERS = {"Cache-Control": "no-store", "Vary": "Accept-Language, Cookie"}


class _Files(StaticFiles):
    """Static files that a browser checks before it uses them again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.setdefault("Cache-Control", FRESH)
        return response


@dataclass(frozen=True, slots=True)
class _Tile:
    ticker: str
    base: str
    quote: str
    whole: str
    fraction: str


def _tile(ticker: str, latest: LatestValues) -> _Tile:
    """What a tile shows before the first event: an index in two parts, an instrument by its whole name."""
    base, _, quote = ticker.upper().partition("_") if ticker == ticker.lower() else (ticker, "", "")
    tick = latest.tick(ticker)
    whole, point, fraction = f"{tick.price:,f}".partition(".") if tick else ("", "", "")
    return _Tile(ticker, base, quote, whole, point + fraction)


def page_routes(
    tickers: Sequence[str],
    latest: LatestValues,
    version: str,
    interval: int,
    browser: Callable[[Request], tuple[str | None, Mapping[str, str]]],
    persons: bool,
) -> list[BaseRoute]:
    """Routes of the pages and of everything they load; ``browser`` gives a header that begins a browser session.

    With ``persons`` they offer to log in.
    """
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    languages = {path.stem: read_words(path) for path in sorted((FRONTEND / "words").glob("*.json"))}

    def show(request: Request, name: str, **values: Any) -> Response:
        language = best_language(request, tuple(languages))
        words: Messages = languages[language]
        common: Mapping[str, Any] = {
            "language": language,
            "languages": {code: known("language.own") for code, known in languages.items()},
            "words": words,
            "version": version,
            "theme": request.cookies.get("theme") if request.cookies.get("theme") in ("light", "dark") else None,
            "persons": persons,
            "places": PLACES,
            "path": request.url.path,
        }
        response = HTMLResponse(templates.get_template(name).render(**common, **values), headers=_PAGE_HEADERS)
        _, begins = browser(request)
        for header, value in begins.items():
            response.headers.append(header, value)
        if request.query_params.get("lang") == language:
            response.set_cookie(LANGUAGE_COOKIE, language, max_age=YEAR_SECONDS, samesite="lax")
        return response

    async def index(request: Request) -> Response:
        tiles = [_tile(ticker, latest) for ticker in tickers]
        return show(request, "index.html", tiles=tiles, tickers=json.dumps(list(tickers)), interval=interval)

    async def history(request: Request) -> Response:
        return show(request, "history.html", tickers=tickers, interval=interval)

    async def status(request: Request) -> Response:
        return show(request, "status.html", tickers=json.dumps(list(tickers)))

    async def docs(request: Request) -> Response:
        return show(request, "docs.html")

    async def favicon(_: Request) -> Response:
        return FileResponse(FRONTEND / "favicon.svg", headers={"Cache-Control": "max-age=86400"})

    return [
        Route("/", index),
        Route("/history", history),
        Route("/status", status),
        Route("/docs", docs),
        Route("/favicon.ico", favicon),
        Mount("/static/swagger", GZipMiddleware(_Files(packages=[("fastapi_swagger", "resources")]))),
        Mount("/static", GZipMiddleware(_Files(directory=FRONTEND))),
    ]
