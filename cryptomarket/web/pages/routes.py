"""The HTML pages and their static files: templates rendered here, scripts and styles served as they are.

Without JavaScript a page shows everything but live updates. Templates escape every value.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from ...cookies import cookie_value
from ...market.latest import LatestValues
from .assets import Assets
from .i18n import LANGUAGE_COOKIE, load_messages, preferred_language

__all__ = ["page_routes"]

HERE = Path(__file__).parent
FRONTEND = HERE.parent / "frontend"

YEAR_SECONDS = 365 * 86_400

#: Links in the header of each page: path and message key.
NAVIGATION = (("/", "nav.board"), ("/history", "nav.history"), ("/status", "nav.status"))

THEMES = ("light", "dark")

_PAGE_HEADERS = {"Cache-Control": "no-store", "Vary": "Accept-Language, Cookie"}


@dataclass(frozen=True, slots=True)
class _Tile:
    """A tile before the first event: `btc_usd` has a base and a quote, an instrument is a base alone."""

    ticker: str
    base: str
    quote: str
    whole: str
    fraction: str


def _tile(ticker: str, latest: LatestValues) -> _Tile:
    base, _, quote = ticker.upper().partition("_") if ticker == ticker.lower() else (ticker, "", "")
    tick = latest.tick(ticker)
    whole, point, fraction = f"{tick.price:,f}".partition(".") if tick else ("", "", "")
    return _Tile(ticker, base, quote, whole, point + fraction)


FAVICON = "/favicon.ico"
#: The pages. Their scripts read and write parameters of the address; this program reads `lang`.
PAGES = ("/", "/history", "/status", "/docs")


def page_routes(
    tickers: Sequence[str],
    latest: LatestValues,
    version: str,
    interval: int,
    browser: Callable[[Request], tuple[str | None, Mapping[str, str]]],
    persons: bool,
    coinbase: bool = False,
) -> list[BaseRoute]:
    """Routes of the pages and of the files they load.

    ``browser`` returns the browser session of a request and the headers that start one. ``persons``: offer the login,
    ``coinbase``: that at Coinbase too.
    """
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    catalogues = {path.stem: load_messages(path) for path in sorted((FRONTEND / "messages").glob("*.json"))}

    def render(request: Request, template: str, **values: Any) -> Response:
        language = preferred_language(request, tuple(catalogues))
        theme = cookie_value(request.headers.get("cookie", ""), "theme")
        common: Mapping[str, Any] = {
            "language": language,
            "languages": {code: messages("language.own") for code, messages in catalogues.items()},
            "t": catalogues[language],
            "version": version,
            "theme": theme if theme in THEMES else None,
            "persons": persons,
            "coinbase": coinbase,
            "navigation": NAVIGATION,
            "path": request.url.path,
        }
        response = HTMLResponse(templates.get_template(template).render(**common, **values), headers=_PAGE_HEADERS)
        _, session_headers = browser(request)
        for header, value in session_headers.items():
            response.headers.append(header, value)
        if request.query_params.get("lang") == language:
            response.set_cookie(LANGUAGE_COOKIE, language, max_age=YEAR_SECONDS, samesite="lax")
        return response

    async def index(request: Request) -> Response:
        tiles = [_tile(ticker, latest) for ticker in tickers]
        return render(request, "index.html", tiles=tiles, tickers=json.dumps(list(tickers)), interval=interval)

    async def history(request: Request) -> Response:
        return render(request, "history.html", tickers=tickers, interval=interval)

    async def status(request: Request) -> Response:
        return render(request, "status.html", tickers=json.dumps(list(tickers)))

    async def docs(request: Request) -> Response:
        return render(request, "docs.html")

    async def favicon(_: Request) -> Response:
        return FileResponse(FRONTEND / "favicon.svg", headers={"Cache-Control": "max-age=86400"})

    return [
        Route("/", index),
        Route("/history", history),
        Route("/status", status),
        Route("/docs", docs),
        Route(FAVICON, favicon),
        Mount("/static/swagger", Assets(packages=[("fastapi_swagger", "resources")])),
        Mount("/static", Assets(directory=FRONTEND)),
    ]
