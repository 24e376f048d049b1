"""The web application: REST routes of FastAPI and plain Starlette routes for everything else.

This file decides the addresses and the layers (headers, origins, problems); other files answer the requests.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from importlib.metadata import version

from fastapi import FastAPI
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import RequestRefused
from ..market.latest import LatestValues
from ..persons.coinbase_login import CALLBACK_PATH
from ..persons.credential_middleware import CredentialMiddleware
from ..public_site import ANY_SITE, PublicSite
from ..refusals import Refused, ignore_refusal
from ..stream.endpoint import anonymous
from .api.candles import RecentBars, candle_router, no_bars
from .api.completeness import Completeness
from .api.dependencies import HistoryDatabase, TickerCatalogue, TickerNames
from .api.exports import export_router
from .api.instruments import instrument_router
from .api.openapi import describe, query_names
from .api.persons import PersonServices, person_router
from .api.prices import price_router
from .api.problems import HANDLERS, problem_response
from .api.status import status_router
from .api.udf import udf_router
from .health import Health, health_routes
from .known_parameters import KnownParameters
from .operators import Operators
from .pages.routes import FAVICON, PAGES, page_routes
from .plain_cookies import PlainCookies
from .rate_limit import RateLimit
from .refusal_report import RefusalReport
from .security import HSTS, CrossOrigin, SecurityHeaders

__all__ = ["STREAM_PATH", "web_app"]

STREAM_PATH = "/sse/"

DESCRIPTION = """Prices of the Deribit exchange, live and stored.

`GET /sse/?timer=5&channels=btc_usd` streams them as Server-Sent Events; the other routes read stored prices.
Errors are problem documents (RFC 9457). Prices are the exchange's exact decimals.
"""


def web_app(
    *,
    tickers: Sequence[str],
    latest: LatestValues,
    database: HistoryDatabase,
    stream: ASGIApp,
    catalogue: TickerCatalogue,
    interval: int,
    health: Callable[[], Awaitable[Health]],
    site: PublicSite = ANY_SITE,
    allowed_origins: Sequence[str] = (),
    routes: Sequence[BaseRoute] = (),
    persons: PersonServices | None = None,
    bars: RecentBars = no_bars,
    statistics: Callable[[], Mapping[str, object]] = dict,
    operators: Operators | None = None,
    refused: Refused = ignore_refusal,
    units_per_second: float | None = None,
    wall: Callable[[], float] = time.time,
) -> ASGIApp:
    """Build the application.

    ``routes`` are further routes; ``bars`` returns the minutes of a ticker that are not stored yet; ``statistics``
    returns the counters of each part of this node by its name, which only ``operators`` see; ``refused`` is called for
    each refused request; ``units_per_second`` is the rate limit of an address, None for none. Without ``persons``
    nobody can log in.
    """
    app = FastAPI(
        title="cryptomarket",
        version=version("cryptomarket"),
        description=DESCRIPTION,
        docs_url=None,  # ours has no inline script and needs no other site
        redoc_url=None,
        exception_handlers=HANDLERS,
        separate_input_output_schemas=False,
    )
    names, completeness = TickerNames(tickers, catalogue), Completeness(interval, wall)
    app.include_router(price_router(database, names, latest, completeness))
    app.include_router(instrument_router(catalogue))
    app.include_router(candle_router(database, names, bars, completeness))
    app.include_router(export_router(database, names, completeness))
    app.include_router(udf_router(database, names, latest, bars, wall))
    if persons is not None:
        app.include_router(person_router(persons))
    app.include_router(status_router(latest, health, statistics, operators or Operators(), wall))
    app.router.routes += [
        Route(STREAM_PATH, stream),  # _Entrance answers it; this route redirects /sse to it
        *health_routes(health),
        *routes,
        *page_routes(
            tickers,
            latest,
            version("cryptomarket"),
            interval,
            persons.authenticator.browser_session if persons else anonymous,
            persons=persons is not None,
            coinbase=persons is not None and persons.coinbase is not None,
        ),
    ]
    describe(app)
    inner: ASGIApp = app
    if persons is not None:
        inner = CredentialMiddleware(
            inner,
            login_secrets=persons.login_secrets,
            limits=persons.limits,
            problem=problem_response,
            same_site=site.same_site,
        )
    inner = KnownParameters(inner, lambda: _known_parameters(app))
    inner = PlainCookies(inner)
    if units_per_second is not None:
        inner = RateLimit(inner, units_per_second)

    elsewhere = persons.coinbase.authorize_url if persons and persons.coinbase else None

    def layered(app: ASGIApp) -> ASGIApp:
        return RefusalReport(SecurityHeaders(app, HSTS if site.secure else {}, elsewhere), refused)

    return _Entrance(site, STREAM_PATH, stream, CrossOrigin(inner, allowed_origins), layered)


def _known_parameters(app: FastAPI) -> Mapping[str, Collection[str]]:
    """The query parameters of each address that checks them; the document names those of the API.

    Pages take any, because other sites add theirs to links (`utm_source`, `fbclid`), and files a cache-buster; so does
    the address to which a login server sends browsers back.
    """
    plain = {route.path: () for route in app.router.routes if isinstance(route, Route)}
    checked = {**plain, **query_names(app)}
    return {path: names for path, names in checked.items() if path not in (FAVICON, CALLBACK_PATH, *PAGES)}


class _Entrance:
    """Refuses requests for other sites, and sends one path to the stream: before all layers, to keep joining cheap.

    ``layered`` puts the layers of every other response around an application.
    """

    def __init__(
        self, site: PublicSite, path: str, stream: ASGIApp, others: ASGIApp, layered: Callable[[ASGIApp], ASGIApp]
    ) -> None:
        self._site, self._path, self._stream = site, path, stream
        self._others, self._layered = layered(others), layered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the stream or to the other routes."""
        app = self._others
        if scope["type"] == "http":
            try:
                self._site.check_host(scope)
                if scope["path"] == self._path:
                    app = self._stream
            except RequestRefused as exc:
                app = self._layered(problem_response(Request(scope), exc))
        await app(scope, receive, send)
