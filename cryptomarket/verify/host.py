"""One host of the exchange as checks see it: its sockets, its HTTP side, and the key if there is one."""

import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
from websockets.exceptions import InvalidHandshake, InvalidStatus

from ..deribit.auth import Credentials, documented_scope, refuses_scope, session_scope, signed_params
from ..deribit.rate_limit import group_of
from ..deribit.transport import Opener, checked_proxy, opener, trust
from ..errors import ExchangeUnreachable
from ..statements.statement import COINBASE
from .allowed import check_allowed
from .budget import Budget
from .clock import Clock
from .messages import Message
from .recording import MessageRecorder
from .sockets import ANSWER_SECONDS, CheckSocket

__all__ = ["Host", "Route"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How the network is reached: a proxy and an authority to trust, or neither."""

    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None


class Host:
    """One host. ``kind`` is a kind of hosts of the statements; without ``http_url`` it has no HTTP side."""

    def __init__(
        self,
        kind: str,
        ws_url: str,
        http_url: str | None,
        *,
        clock: Clock,
        budget: Budget,
        recorder: MessageRecorder,
        route: Route,
        credentials: Credentials | None = None,
    ) -> None:
        self.kind = kind
        self.clock = clock
        self.credentials = credentials
        #: Why what needs a log-in is not checked.
        self.no_login = "it needs an API key"
        self.has_http = http_url is not None
        self.ws_url = ws_url
        self._http_url = http_url or ""
        self._route = route
        self._budget = budget
        self._recorder = recorder
        self._opener("")  # a wrong address is an error now
        self._instruments: list[dict[str, Any]] = []
        self._asking = anyio.Lock()
        self._scope_refused = False

    @property
    def coinbase(self) -> bool:
        """Whether it belongs to Coinbase."""
        return self.kind in COINBASE

    @property
    def index(self) -> str:
        """An index that the host has."""
        return "btc_usdc" if self.coinbase else "btc_usd"

    @property
    def perpetual(self) -> str:
        """A busy instrument that the host has."""
        return "BTC_USDC-PERPETUAL" if self.coinbase else "BTC-PERPETUAL"

    @asynccontextmanager
    async def socket(self, suffix: str = "") -> AsyncIterator[CheckSocket]:
        """A connection of its own for a check; ``suffix`` is put behind the address.

        Raises ExchangeUnreachable when it cannot be opened.
        """
        await self._budget.attempt()
        opened = self._opener(suffix)()
        try:
            socket = await opened.__aenter__()
        except InvalidStatus as exc:
            raise ExchangeUnreachable(f"HTTP {exc.response.status_code} instead of a WebSocket") from exc
        except (OSError, TimeoutError, InvalidHandshake) as exc:
            raise ExchangeUnreachable(f"no connection: {type(exc).__name__}") from exc
        checking = CheckSocket(socket, self.clock, self._budget, self._recorder, place=self.kind)
        try:
            yield checking
        finally:
            with anyio.CancelScope(shield=True):
                await self._log_out(checking)
                await opened.__aexit__(None, None, None)

    async def _log_out(self, socket: CheckSocket) -> None:
        """End the log-in of a connection: a session that stays would push the gateway's own one out."""
        if socket.logged_in and socket.closed is None:
            with contextlib.suppress(ExchangeUnreachable):
                await socket.ask("private/logout")
                await socket.until(lambda _: False, 1)

    def _opener(self, suffix: str) -> Opener:
        route = self._route
        url = f"{self.ws_url}{suffix}"
        return opener(url, proxy=route.proxy, ca_file=route.ca_file, connect_seconds=ANSWER_SECONDS)

    @asynccontextmanager
    async def logged_in(self, scope: str = "") -> AsyncIterator[tuple[CheckSocket, Message]]:
        """A connection and the answer to its log-in: with a session of its own, and rights to read alone."""
        async with self.socket() as socket:
            yield socket, await self.log_in(socket, scope or self.reading_scope())

    async def try_key(self) -> None:
        """Log in once; a key that the exchange refuses is not used, since each check would report a difference."""
        if self.credentials is None:
            return
        with contextlib.suppress(ExchangeUnreachable):
            async with self.logged_in() as (_, answer):
                if answer.code:
                    self.credentials = None
                    self.no_login = f"the exchange refused the API key with {answer.code}"

    def reading_scope(self, session: str = "", life_seconds: int = 120) -> str:
        """The scope of a short session that may read the account."""
        name = session or f"cryptomarket-verify-{secrets.token_hex(4)}"
        return session_scope(name, life_seconds=life_seconds)

    async def log_in(self, socket: CheckSocket, scope: str, **changed: Any) -> Message:
        """The answer to a log-in by signature; ``changed`` replaces parameters of it."""
        if "timestamp" not in changed:  # by the exchange's clock: a wrong one of ours must not look like a wrong key
            changed["timestamp"] = (await socket.call("public/get_time")).result
        # A scope that was refused is not sent again: the second attempt would use a nonce twice.
        first = self._accepted(scope)
        answer = await socket.call("public/auth", **self.signed(first, **changed))
        if first == scope and refuses_scope(answer.code, str(answer.reason[1])):
            self._scope_refused = True
            answer = await socket.call("public/auth", **self.signed(self._accepted(scope), **changed))
        socket.logged_in = socket.logged_in or not answer.code
        return answer

    def _accepted(self, scope: str) -> str:
        return documented_scope(scope) if self._scope_refused else scope

    def signed(self, scope: str, **changed: Any) -> dict[str, Any]:
        """The parameters of a log-in by signature, as of now unless ``timestamp`` is among those changed.

        An empty ``nonce`` is left out.
        """
        key = self.credentials
        if key is None:
            raise ExchangeUnreachable("no API key")
        timestamp = int(changed.pop("timestamp", self.clock.wall() * 1000))
        nonce = str(changed.pop("nonce", secrets.token_hex(8)))
        secret = key.client_secret.reveal().encode()
        params = signed_params(key.client_id, secret, scope, timestamp=timestamp, nonce=nonce) | changed
        return {name: value for name, value in params.items() if name != "nonce" or value}

    async def get(self, method: str, /, *, urgent: bool = False, **params: Any) -> Message:
        """The answer to a GET; an urgent one does not wait for its turn. Raises ExchangeUnreachable when none comes."""
        text = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in params.items()}
        return await self._http("GET", method, text, "", {}, urgent=urgent)

    async def post(
        self, method: str, /, *, bearer: str = "", request_id: Any = None, body: str | None = None, **params: Any
    ) -> Message:
        """The answer to a POST of a request, or of the body as it is. Raises ExchangeUnreachable when none comes."""
        if body is None:
            request = {"jsonrpc": "2.0", "method": method, "params": params}
            body = json.dumps(request if request_id is None else request | {"id": request_id})
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {bearer}"} if bearer else {})
        return await self._http("POST", method, {}, body, headers)

    async def _http(
        self,
        verb: str,
        method: str,
        query: dict[str, str],
        body: str,
        headers: dict[str, str],
        *,
        urgent: bool = False,
    ) -> Message:
        check_allowed(json.dumps({"method": method}))
        check_allowed(body)
        if not urgent:
            await self._budget.turn(group_of(method))
        sent = body or json.dumps({"method": method, "params": query})
        self._recorder.sent(sent, host=self.kind, method=method, http=True)
        try:
            async with self._client() as client:
                url = f"{self._http_url}/{method}"
                answer = await client.request(verb, url, params=query, content=body or None, headers=headers)
        except (httpx2.HTTPError, OSError) as exc:
            raise ExchangeUnreachable(f"no answer to {method} over HTTP: {type(exc).__name__}") from exc
        message = Message.read(self.clock.now(), answer.content, answer.status_code)
        self._recorder.received(message, host=self.kind, method=method, http=True)
        return message

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            verify=trust(self._route.ca_file) if self._http_url.startswith("https:") else True,
            proxy=checked_proxy(self._route.proxy),
            trust_env=False,
            follow_redirects=False,
            timeout=ANSWER_SECONDS,
        )

    async def instruments(self) -> list[dict[str, Any]]:
        """Every instrument of the host, asked for once in a run."""
        async with self._asking:
            if not self._instruments:
                answer = await self.get("public/get_instruments")
                rows = answer.result if isinstance(answer.result, list) else []
                self._instruments = [row for row in rows if isinstance(row, dict) and "instrument_name" in row]
        return self._instruments
