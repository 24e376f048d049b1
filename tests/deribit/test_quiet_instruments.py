"""Instruments that rarely change keep their subscription, while a lost one comes back: hours of a simulated clock."""

import json
from collections import Counter
from typing import Any

import pytest

from cryptomarket.deribit.application_login import ApplicationLogin
from cryptomarket.deribit.doors import DOORS
from cryptomarket.deribit.rate_limit import RateLimiter
from cryptomarket.deribit.session import ExchangeSession
from cryptomarket.deribit.subscriptions import Subscriptions
from cryptomarket.model import Gap, Tick

START = 1_790_000_000.0
QUIET = [f"BTC-25DEC26-{1000 * number}-C" for number in range(1, 200)]
#: Where in its period each of them changes.
PHASES = {ticker: place / len(QUIET) for place, ticker in enumerate(QUIET)}


class QuietExchange:
    """Answers a session by a clock that the test moves: the instrument of number n changes each ``period`` seconds."""

    def __init__(self, period: float, *, compares: bool = True) -> None:
        self.now = 0.0
        self.period = period
        self.compares = compares
        self.subscribed: set[str] = set()
        #: Channels that the exchange forgot, though it confirmed them.
        self.forgotten: set[str] = set()
        self.unsubscribed = 0
        self.asked: Counter[str] = Counter()
        self.effects: list[Any] = []
        self.ticked: dict[str, float] = {}
        self._sent: dict[str, int] = {}
        subscriptions = Subscriptions(["btc_usd"])
        subscriptions.want(QUIET)
        self.session = ExchangeSession(
            DOORS["deribit"],
            subscriptions,
            ApplicationLogin(None, exchange_time=lambda: START + self.now),
            RateLimiter(),
            monotonic=lambda: self.now,
        )
        self.session.start()
        self.pump()

    def change(self, ticker: str) -> int:
        """The number of the ticker's present state."""
        if ticker == "btc_usd":
            return int(self.now)
        return int(self.now / self.period + PHASES[ticker])

    def state(self, ticker: str) -> dict[str, Any]:
        stamp = int((START + self.now) * 1000)
        price = 100 + self.change(ticker)
        if ticker == "btc_usd":
            return {"timestamp": stamp, "price": price, "index_name": ticker}
        return {"timestamp": stamp, "mark_price": price, "instrument_name": ticker, "state": "open"}

    def send(self, channel: str) -> None:
        ticker = channel.split(".")[1]
        self._sent[channel] = self.change(ticker)
        params = {"channel": channel, "data": self.state(ticker)}
        self.receive({"method": "subscription", "params": params})

    def receive(self, body: dict[str, Any]) -> None:
        for effect in self.session.receive(json.dumps({"jsonrpc": "2.0", **body})):
            self.effects.append(effect)
            if isinstance(effect, Tick):
                self.ticked[effect.ticker] = self.now

    def pump(self) -> None:
        while requests := self.session.outgoing():
            for outgoing in requests:
                found = self.session.request_for(outgoing)
                if found:
                    self.answer(json.loads(found[1]))

    def answer(self, request: dict[str, Any]) -> None:
        method, params = request["method"], request["params"]
        self.asked[method] += 1
        joined: list[str] = []
        if method == "public/ticker" and not self.compares:
            self.receive({"id": request["id"], "error": {"code": -32601, "message": "Method not found"}})
            return
        match method:
            case "public/subscribe":
                result: Any = params["channels"]
                joined = [c for c in result if c not in self.subscribed and c.startswith(("ticker", "deribit_price"))]
                self.subscribed.update(result)
                self.forgotten.difference_update(result)
            case "public/unsubscribe":
                result = params["channels"]
                self.subscribed.difference_update(result)
                self.unsubscribed += len(result)
            case "public/ticker":
                result = self.state(params["instrument_name"])
            case _:
                result = "ok"
        self.receive({"id": request["id"], "result": result})
        for channel in joined:
            self.send(channel)

    def run(self, seconds: float) -> None:
        """Let the time pass, in steps of a second."""
        ends = self.now + seconds
        while self.now < ends:
            self.now += 1
            for channel, sent in list(self._sent.items()):
                lives = channel in self.subscribed and channel not in self.forgotten
                if lives and self.change(channel.split(".")[1]) != sent:
                    self.send(channel)
            self.effects += self.session.check_timers()
            self.pump()


@pytest.mark.parametrize(("period", "seconds"), [(30.0, 7200), (120.0, 1200), (100_000.0, 1200)])
def test_quiet_instruments_are_left_alone(period: float, seconds: float) -> None:
    """Two hours of 199 instruments that change rarely or never: no channel is subscribed again, and none has a gap."""
    exchange = QuietExchange(period)
    exchange.run(seconds)
    assert exchange.unsubscribed == 0
    assert not any(isinstance(effect, Gap) for effect in exchange.effects)
    assert exchange.asked["public/ticker"] <= seconds  # one a second at most, whatever the number of instruments


def test_where_nothing_can_be_compared_a_quiet_instrument_is_subscribed_again_rarely() -> None:
    """A host of prices alone answers no such question; a first message that repeats the last is no rhythm."""
    exchange = QuietExchange(30.0, compares=False)
    exchange.run(1200)
    assert exchange.unsubscribed < 2 * len(QUIET)


@pytest.mark.parametrize(("period", "within"), [(1.0, 10), (30.0, 190)])
def test_a_lost_channel_comes_back(period: float, within: float) -> None:
    """The exchange has a newer price than the channel carried: it is subscribed again, alone, and ticks."""
    exchange = QuietExchange(period)
    exchange.run(20 * period)
    lost = f"ticker.{QUIET[7]}.100ms"
    exchange.forgotten.add(lost)
    begun = exchange.now
    while lost in exchange.forgotten:
        exchange.run(1)
        assert exchange.now - begun <= within
    assert exchange.unsubscribed == 1
    exchange.run(2 * period)
    assert exchange.ticked[QUIET[7]] > begun
