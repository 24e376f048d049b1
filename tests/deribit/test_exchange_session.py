"""A state machine over the session without I/O: any order of answers, errors, notifications and disconnects."""

import json
import os
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cryptomarket.deribit.application_login import ApplicationLogin
from cryptomarket.deribit.auth import Credentials, Secret
from cryptomarket.deribit.doors import DOORS, Door
from cryptomarket.deribit.effects import Effect
from cryptomarket.deribit.error_codes import ERROR_CODES
from cryptomarket.deribit.protocol import ConnectionState
from cryptomarket.deribit.rate_limit import RateLimiter
from cryptomarket.deribit.session import ExchangeSession
from cryptomarket.deribit.subscriptions import Phase, Subscriptions
from cryptomarket.deribit.timeouts import Timeouts
from cryptomarket.errors import ExchangeRefused, ExchangeUnreachable
from cryptomarket.model import Gap, Tick

TICKERS = ["btc_usd", "eth_usd", "BTC-PERPETUAL", "nope_usd"]
STAMP = 1_790_755_218_559
JUNK = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=30),
    st.sampled_from(
        [
            '{"jsonrpc":"2.0","error":{"message":"bad_request","code":11050}}',
            '{"jsonrpc":"2.0","id":"x","result":1}',
            '{"jsonrpc":"2.0","id":999999,"result":1}',
            '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"platform_state","data":{"maintenance":null}}}',
            '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"instrument.state.any.any","data":[]}}',
            '{"jsonrpc":"2.0","method":"subscription","params":null}',
            '{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}',
        ]
    ),
)


class Upstream(RuleBasedStateMachine):
    """The exchange and the network do as they like; the session may only raise what it documents."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.open: dict[int, dict[str, Any]] = {}
        self.granted: set[str] = set()
        self.deadlines: dict[int, float] = {}

    @initialize(door=st.sampled_from([*DOORS.values()]), raw=st.booleans(), key=st.booleans())
    def begin(self, door: Door, raw: bool, key: bool) -> None:
        """The parts that outlive connections."""
        self.door = door
        credentials = Credentials("demo", Secret("secret")) if key and door.authenticates else None
        self.login = ApplicationLogin(credentials, exchange_time=lambda: self.now, random=lambda: 0.5)
        self.subscriptions = Subscriptions(TICKERS[:1], raw=raw)
        self.budget = RateLimiter()
        self.connect()

    def connect(self) -> None:
        self.open.clear()
        self.granted.clear()
        self.session = ExchangeSession(
            self.door, self.subscriptions, self.login, self.budget, timeouts=Timeouts(), monotonic=lambda: self.now
        )
        self.session.start()
        self.pump()

    def guarded(self, outputs: Any) -> list[Effect]:
        """Run a step; a documented error ends the connection and another follows."""
        try:
            found: list[Effect] = outputs()
        except (ExchangeRefused, ExchangeUnreachable):
            self.reconnect()
            return []
        assert all(isinstance(output, Effect) for output in found)
        if self.session.terminated_by:
            self.reconnect()
        else:
            self.pump()
        return found

    def reconnect(self) -> None:
        self.session.close()
        assert self.session.protocol.in_flight == 0
        assert not self.login.authenticated
        assert self.subscriptions.confirmed() == set()
        self.connect()

    def pump(self) -> None:
        """Send what the session outgoing."""
        texts = self.session.replies()
        while outgoing := self.session.outgoing():
            for item in outgoing:
                found = self.session.request_for(item)
                if found:
                    texts.append(found[1])
        for text in texts:
            request = json.loads(text)
            assert request["id"] not in self.open
            assert not request["method"].startswith("private/")
            assert len(text) < 32_000
            self.open[request["id"]] = request

    def result_of(self, request: dict[str, Any], accept: bool) -> Any:
        match request["method"]:
            case "public/subscribe":
                named = [c for c in request["params"]["channels"] if "nope" not in c]
                self.granted.update(named if accept else named[:1])
                return sorted(named if accept else named[:1], reverse=True)
            case "public/unsubscribe":
                self.granted.difference_update(request["params"]["channels"])
                return request["params"]["channels"]
            case "public/auth":
                return {"access_token": "a", "refresh_token": "r", "expires_in": 100, "scope": "account:read"}
            case _:
                return {"version": "1"}

    def answer(self, number: int, body: dict[str, Any]) -> None:
        self.guarded(lambda: self.session.receive(json.dumps({"jsonrpc": "2.0", "id": number, **body})))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), accept=st.booleans())
    def answers(self, data: st.DataObject, accept: bool) -> None:
        """Any open request is answered, in any order."""
        number = data.draw(st.sampled_from(sorted(self.open)))
        self.answer(number, {"result": self.result_of(self.open.pop(number), accept)})

    @precondition(lambda self: self.open)
    @rule(data=st.data(), code=st.sampled_from(sorted(ERROR_CODES)), shape=st.sampled_from([None, {}, "text", [1]]))
    def refuses(self, data: st.DataObject, code: int, shape: Any) -> None:
        """Any open request is refused, with any code and any extra."""
        number = data.draw(st.sampled_from(sorted(self.open)))
        self.open.pop(number)
        self.answer(number, {"error": {"code": code, "message": "no", "data": shape}})

    @precondition(lambda self: self.open)
    @rule(data=st.data(), body=st.sampled_from([{"result": None}, {"result": {"a": 1}}, {"error": 7}, {}]))
    def answers_nonsense(self, data: st.DataObject, body: dict[str, Any]) -> None:
        """Any open request gets something of another shape."""
        number = data.draw(st.sampled_from(sorted(self.open)))
        if body:
            self.open.pop(number)
        self.answer(number, body)

    @rule(ticker=st.sampled_from(TICKERS), raw=st.booleans())
    def speaks(self, ticker: str, raw: bool) -> None:
        """A price comes, whether or not it was confirmed; exactly it comes out."""
        if ticker.islower():
            channel, data = f"deribit_price_index.{ticker}", {"price": 5.5, "index_name": ticker}
        else:
            channel = f"ticker.{ticker}.{'raw' if raw else '100ms'}"
            data = {"mark_price": 5.5, "instrument_name": ticker, "state": "open"}
        params = {"channel": channel, "data": {"timestamp": STAMP, **data}}
        text = json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params})
        session = self.session
        outputs = self.guarded(lambda: session.receive(text))
        assert [output.ticker for output in outputs if isinstance(output, Tick)] == [ticker]

    @rule(junk=JUNK)
    def babbles(self, junk: str | bytes) -> None:
        """Something that is no answer and no price: no tick comes out."""
        outputs = self.guarded(lambda: self.session.receive(junk))
        assert not any(isinstance(output, Tick) for output in outputs)

    @rule(tickers=st.sets(st.sampled_from(TICKERS)))
    def wants(self, tickers: set[str]) -> None:
        """Demand changes."""
        self.subscriptions.want(tickers)
        self.session.update_subscriptions()
        self.pump()

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 9.0, 31.0, 400.0]))
    def waits(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        self.guarded(self.session.check_timers)

    @rule()
    def breaks(self) -> None:
        """The connection is gone."""
        self.reconnect()

    @invariant()
    def no_request_waits_for_ever(self) -> None:
        """After a look nothing is open beyond its deadline."""
        protocol = self.session.protocol
        assert all(r.deadline > self.now - 401 for r in protocol._pending.values())

    @invariant()
    def what_is_asked_is_in_flight(self) -> None:
        """A requested channel has a request that will be answered or expire."""
        phases = self.subscriptions._phases
        waiting = {
            channel for r in self.session.protocol._pending.values() for channel in r.params.get("channels", ())
        } | {channel for chunk in self.subscriptions._suspects for channel in chunk}
        for channel, phase in phases.items():
            assert phase is Phase.CONFIRMED or channel in waiting

    def teardown(self) -> None:
        """From any state, an exchange that behaves again leads to every wanted ticker confirmed or refused."""
        if not hasattr(self, "session"):
            return
        for _ in range(400):
            while self.open:
                number = min(self.open)
                self.answer(number, {"result": self.result_of(self.open.pop(number), True)})
            for channel in sorted(self.granted):
                if channel.startswith("deribit_price_index."):
                    self.speaks(channel.split(".")[1], False)
                elif channel.startswith("ticker."):
                    self.speaks(channel.split(".")[1], channel.endswith("raw"))
            wanted = {c for c in self.subscriptions.wanted() if "nope" not in c}
            if wanted == self.subscriptions.confirmed() and self.session.protocol.state is ConnectionState.STREAMING:
                return
            self.waits(1.0)
        raise AssertionError(f"never recovered: {self.session!r} {self.subscriptions._phases}")


EXAMPLES = int(os.environ.get("CRYPTOMARKET_EXAMPLES", "60"))
Upstream.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)
TestUpstream = Upstream.TestCase


def test_gaps_come_only_for_what_was_refused() -> None:
    """The machine's kinds of output are complete: nothing else may come out of a session."""
    assert Gap in Effect.__args__
