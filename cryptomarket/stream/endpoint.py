"""The ASGI application of ``/sse/``: reads the request, refuses what cannot be served, and opens the stream.

An EventSource does not reconnect after any status but 200, so overload is answered with 200, a long pause and the end.
A wrong value is answered with 422, because reconnecting with it would not help. Unknown names beside known ones are no
wrong value: an instrument ends while pages ask for it. The stream opens, with a gap event for each of them. After a
start no name is wrong before the catalogue was read: browsers return to a restarted gateway within seconds.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import anyio
from sse_starlette.sse import AppStatus, EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from ..addresses import MULTIPLES, address_groups
from ..errors import InvalidParameter, RequestError
from ..refusals import Refused, ignore_refusal
from ..token_buckets import TokenBuckets
from .manager import ServerSSEManager
from .parameters import StreamParameters, parse_parameters
from .sinks.asgi import AsgiSink
from .sinks.socket import HANDOVER, SocketSink
from .subscribers import Subscription

__all__ = ["StreamEndpoint", "anonymous"]

#: The range of the pause after a refusal for lack of room: all return within a minute, and not at once.
RETURN_SECONDS = (15.0, 45.0)
#: The same until the catalogue is read, which takes seconds after most starts.
CATALOGUE_SECONDS = (5.0, 15.0)
#: Why a stream is sent away through nobody's fault: not to be reported.
DRAINING, CATALOGUE = "draining", "catalogue"

#: What one address may ask for, as multiples of its streams: so many joins at once, and then so many a second.
JOINS_AT_ONCE, JOINS_PER_SECOND = 2.0, 0.1
#: And at least so many, for pages that are loaded again and again.
LEAST_AT_ONCE, LEAST_PER_SECOND = 20.0, 2.0
#: A stream that resumes counts as one more join for so many missed events, which cost as much. An address that has not
#: so many left gets the newest prices and a gap, not a refusal: an office that was offline would wait for minutes.
EVENTS_OF_A_JOIN = 250
#: Different addresses whose joins are counted.
MOST_ADDRESSES = 8_192

#: How long a cancelled response may take to end.
FAREWELL_SECONDS = 0.5

_STREAM_HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
}
_NO_CORS = {"Vary": "Origin", "X-Content-Type-Options": "nosniff"}


def anonymous(_: Request) -> tuple[str | None, Mapping[str, str]]:
    """Identify no browser session, and add no header to begin one."""
    return None, {}


class StreamEndpoint:
    """The ASGI application of ``/sse/``.

    ``known`` and ``nearest`` query the catalogue, ``fetched`` and ``fetching`` whether it was read since the start, and
    whether the first attempt lasts; ``problem`` makes the response to a wrong request; ``identify`` returns the browser
    session of a request and headers for its response; pages of ``allowed_origins`` may read; ``refused`` is told of
    streams and names that are refused; ``headers`` are further headers of every response.
    """

    def __init__(
        self,
        manager: ServerSSEManager,
        *,
        known: Callable[[str], bool],
        nearest: Callable[[str], list[str]],
        problem: Callable[[Request, RequestError], Response],
        fetched: Callable[[], bool] = lambda: True,
        fetching: Callable[[], bool] = lambda: False,
        allowed_origins: Iterable[str] = (),
        max_streams: int = 10_000,
        max_streams_per_address: int = 100,
        identify: Callable[[Request], tuple[str | None, Mapping[str, str]]] = anonymous,
        refused: Refused = ignore_refusal,
        monotonic: Callable[[], float] = time.monotonic,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._manager = manager
        self._refused, self._monotonic = refused, monotonic
        self._joins = TokenBuckets(
            max(LEAST_PER_SECOND, max_streams_per_address * JOINS_PER_SECOND),
            max(LEAST_AT_ONCE, max_streams_per_address * JOINS_AT_ONCE),
            most=MOST_ADDRESSES,
        )
        self._known, self._nearest, self._problem = known, nearest, problem
        self._fetched, self._fetching = fetched, fetching
        self._origins = frozenset(allowed_origins)
        self._max_streams, self._max_per_address = max_streams, max_streams_per_address
        self._identify = identify
        self._headers = {**_NO_CORS, **(headers or {})}
        self._raw_headers = [*_RAW_HEADERS, *_raw(self._headers)]
        # The library would end all streams at once at a stop; the manager ends them evenly.
        AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        request = Request(scope, receive)
        cors = self._cors(scope)
        if scope["method"] not in ("GET", "HEAD"):
            response = self._not_a_read(request)
        else:
            try:
                parameters = parse_parameters(scope["query_string"])
                subscription, headers = self._read(request, parameters)
                last_event_id = _header(scope, b"last-event-id") or parameters.last_event_id
                if scope["method"] == "HEAD":
                    response = Response(headers={**_STREAM_HEADERS, **headers})
                    del response.headers["content-length"]
                elif isinstance(admitted := self._admit(subscription, last_event_id), str):
                    response = self._come_back_later(scope, admitted)
                else:
                    # Nearly all streams have the same headers, so those are made once.
                    usual = cors is self._headers
                    raw = self._raw_headers if usual else [*_RAW_HEADERS, *_raw(cors)]
                    raw = [*raw, *_raw(headers)] if headers else raw
                    await self._stream(admitted, last_event_id, raw, scope, receive, send)
                    return
            except RequestError as exc:
                response = self._problem(request, exc)
        response.headers.update(cors)
        await response(scope, receive, send)

    def _read(self, request: Request, parameters: StreamParameters) -> tuple[Subscription, Mapping[str, str]]:
        scope = request.scope
        tickers = parameters.tickers
        unknown: list[str] = []
        if tickers is None:
            tickers = self._manager.tickers
        elif unknown := [name for name in tickers - self._manager.tickers if not self._known(name)]:
            tickers = self._without(unknown, tickers, scope) if self._fetched() else tickers.difference(unknown)
        session, headers = self._identify(request)
        groups = address_groups(scope["client"][0]) if scope.get("client") else ()
        names = tuple(sorted(unknown))
        return Subscription(parameters.tenths, tickers, session, groups, names, fields=parameters.fields), headers

    def _without(self, unknown: list[str], tickers: frozenset[str], scope: Scope) -> frozenset[str]:
        """The tickers that are known. Raises InvalidParameter when none is; `connection` counts as none."""
        known = tickers.difference(unknown)
        self._report("unknown_ticker", scope, 200 if known else 422, tickers=sorted(unknown)[:3])
        if known:
            return known
        ticker = min(unknown)
        names = ", ".join(self._nearest(ticker))
        hint = f"; did you mean {names}?" if names else ""
        raise InvalidParameter("channels", f"names of tickers, but {ticker!r} is none{hint}")

    def _admit(self, subscription: Subscription, last_event_id: str | None) -> Subscription | str:
        """The subscription of the stream to open, or why none can be opened now."""
        manager, groups = self._manager, subscription.groups
        if manager.draining:
            return DRAINING
        if subscription.unknown and not self._fetched() and (self._fetching() or not subscription.tickers):
            return CATALOGUE
        if len(manager) >= self._max_streams:
            return "max_streams"
        for group, multiple in zip(groups, MULTIPLES, strict=False):
            if manager.streams_of(group) >= self._max_per_address * multiple:
                return "max_streams_per_address"
        missed, now = manager.missed(subscription, last_event_id) if last_event_id else 0, self._monotonic()
        if not groups or not self._joins.take(groups, 1 + missed / EVENTS_OF_A_JOIN, now):
            return subscription
        if missed and not self._joins.take(groups, 1, now):
            return replace(subscription, replays=False)
        return "max_joins_per_address"

    def _come_back_later(self, scope: Scope, reason: str) -> Response:
        self._manager.count_shed(reason)
        if reason not in (DRAINING, CATALOGUE):
            self._report(reason, scope, 200)
        body = self._manager.draw_retry(*(CATALOGUE_SECONDS if reason == CATALOGUE else RETURN_SECONDS)) + b"\n"
        return Response(body, headers={**_STREAM_HEADERS, "connection": "close"})

    def _report(self, reason: str, scope: Scope, status: int, **details: object) -> None:
        address = scope["client"][0] if scope.get("client") else None
        self._refused(reason, address=address, route=scope["path"], status=status, **details)

    async def _stream(
        self,
        subscription: Subscription,
        last_event_id: str | None,
        headers: list[tuple[bytes, bytes]],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Stream on the connection itself if the server hands it over, else as a response of any ASGI server."""
        hand_over = (scope.get("extensions") or {}).get(HANDOVER)
        if hand_over is not None:
            sink = SocketSink(self._manager.leave)
            stream = sink.stream = self._manager.join(sink, subscription, last_event_id)
            taken: tuple[asyncio.Transport, bytes] | None = None
            try:
                taken = hand_over["take"](sink, headers)
            finally:
                if taken is None:  # the reader is gone already
                    self._manager.leave(stream)
                else:
                    sink.attach(*taken)
            return
        with anyio.CancelScope() as response_scope:
            asgi_sink = AsgiSink(on_abort=response_scope.cancel)
            stream = self._manager.join(asgi_sink, subscription, last_event_id)
            response = EventSourceResponse(asgi_sink.frames(), ping=0, sep="\n")
            response.raw_headers = headers
            try:
                await response(scope, receive, send)
            except anyio.get_cancelled_exc_class():
                if not response_scope.cancel_called:  # the server's own time limit ended the response
                    await self._bid_farewell(send)
                raise
            finally:
                self._manager.leave(stream)

    async def _bid_farewell(self, send: Send) -> None:
        """End a response that its server cancels, such as hypercorn 3 s after the stop began."""
        with anyio.move_on_after(FAREWELL_SECONDS, shield=True), contextlib.suppress(Exception):
            await send({"type": "http.response.body", "body": self._manager.draw_retry() + b"\n", "more_body": False})

    def _not_a_read(self, request: Request) -> Response:
        if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            return Response(
                status_code=204, headers={"Access-Control-Allow-Methods": "GET", "Access-Control-Max-Age": "600"}
            )
        problem = {
            "type": "about:blank",
            "title": "Method Not Allowed",
            "status": 405,
            "detail": f"{request.url.path} is read with GET, not {request.method[:16]}",
        }
        return JSONResponse(problem, 405, {"Allow": "GET, HEAD"}, media_type="application/problem+json")

    def _cors(self, scope: Scope) -> Mapping[str, str]:
        """The headers of every response; an allowed origin, and no other, gets permission, never with credentials."""
        origin = _header(scope, b"origin")
        if origin is None or origin not in self._origins:
            return self._headers
        headers = {**self._headers, "Access-Control-Allow-Origin": origin}
        if scope["method"] == "OPTIONS":
            headers["Access-Control-Allow-Headers"] = "Last-Event-ID, Cache-Control"
        return headers


def _header(scope: Scope, name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")  # type: ignore[no-any-return]
    return None


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


_RAW_HEADERS = _raw(_STREAM_HEADERS)
