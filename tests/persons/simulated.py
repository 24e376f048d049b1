"""The simulated exchange without a socket: the leader's calls get the simulator's own answers, on the test's clock."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio.lowlevel
import msgspec

from cryptomarket.deribit.messages import ErrorBody
from cryptomarket.deribit.upstream_clock import UpstreamClock
from cryptomarket.errors import ExchangeRefused, ExchangeUnreachable
from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.exchange import Exchange
from cryptomarket.simulator.http import HttpCaller
from cryptomarket.simulator.switches import Switches
from cryptomarket.statements.limits import CreditLimit

__all__ = ["SimulatedCalls"]

UNLIMITED = {"other": CreditLimit(0, 1, 1)}


class _Reply(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"")
    error: ErrorBody | None = None
    us_out: int = msgspec.field(name="usOut", default=0)


class SimulatedCalls:
    """Answers the leader's calls and records them.

    ``raising`` are errors raised instead of a call, by method, and ``replies`` are results returned instead of the
    simulator's; the answers of the methods in ``losing`` are lost.
    """

    def __init__(self, accounts: Sequence[SimulatedAccount], wall: Callable[[], float], **switches: Any) -> None:
        self.exchange = Exchange(
            accounts=accounts, wall=wall, monotonic=wall, switches=Switches(**switches), budgets=UNLIMITED
        )
        self.clock = UpstreamClock(wall=wall, monotonic=wall)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.raising: dict[str, Exception] = {}
        self.replies: dict[str, str] = {}
        self.losing: set[str] = set()
        self._wall = wall
        self._caller = HttpCaller("127.0.0.1")

    async def __call__(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        self.calls.append((method, dict(params)))
        await anyio.lowlevel.checkpoint()
        if method in self.raising:
            raise self.raising[method]
        if method in self.replies:
            return msgspec.Raw(self.replies[method].encode())
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        response = self.exchange.http(self._caller, "POST", "/api/v2", {}, body)
        if method in self.losing:
            raise ExchangeUnreachable("cut after the request was sent")
        reply = msgspec.json.decode(response.body, type=_Reply)
        self.clock.answered(reply.us_out, self._wall(), self._wall())
        if reply.error is not None:
            raise ExchangeRefused(method, reply.error.code, reply.error.message, reply.error.reason)
        return reply.result

    def calls_of(self, method: str) -> list[dict[str, Any]]:
        """The parameters of every call of the method."""
        return [params for name, params in self.calls if name == method]
