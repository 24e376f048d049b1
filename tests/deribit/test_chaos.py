"""A thousand random kills and stalls from a seed: nothing wanted is lost, nothing wrong comes out, no storm."""

import os
import random
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import anyio
import pytest
from websockets.exceptions import ConnectionClosed

from cryptomarket.deribit.rate_limit import AttemptLimiter, Group
from cryptomarket.deribit.timeouts import Timeouts
from cryptomarket.model import UpstreamState

from .following import Follower, Noting, following
from .scripted import SILENT, Refuse, Scripted, scripted_exchange

pytestmark = pytest.mark.system

#: Faults in all; the links below share them and run side by side.
FAULTS = int(os.environ.get("CRYPTOMARKET_CHAOS", "1000"))
LINKS = 20
#: Everything, the exchange's budget included, passes this many times as fast as in earnest.
HURRY = 20.0
FAST = Timeouts(
    connect=10,
    greeting=1,
    answer=1,
    silence=0.12,
    probe=0.2,
    rhythm=0.2,
    first=0.2,
    starvation=1,
    retry=0.02,
    check=0.01,
    first_pause=0.005,
    longest_pause=0.05,
    refused=0.03,
    stopped=0.05,
)
TICKERS = ("btc_usd", "eth_usd", "BTC-PERPETUAL")
CHANNELS = ("deribit_price_index.btc_usd", "deribit_price_index.eth_usd", "ticker.BTC-PERPETUAL.100ms")

LIVE, CONNECTING, STALE, DOWN = UpstreamState.LIVE, UpstreamState.CONNECTING, UpstreamState.STALE, UpstreamState.DOWN
LEGAL = {
    (CONNECTING, LIVE),
    (CONNECTING, DOWN),
    (LIVE, CONNECTING),
    (DOWN, LIVE),
}


class FaultyExchange:
    """A scripted exchange that sends prices all the time, limits requests as the real one, and injects faults."""

    def __init__(self, exchange: Scripted, seed: int) -> None:
        self.exchange = exchange
        self.chance = random.Random(seed)
        self.muted: set[str] = set()
        self.stalled = False
        self.open_at_once = 0
        self.prices: dict[int, Decimal] = {}
        exchange.first_values = False
        exchange.before_answer = self.count
        for method, answer in list(exchange.answers.items()):
            exchange.answers[method] = self._stallable(answer)
        exchange.answers["public/subscribe"] = self._stallable(self._subscribe)

    def _stallable(self, answer: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        return lambda params: SILENT if self.stalled else answer(params)

    def _subscribe(self, params: dict[str, Any]) -> Any:
        if self.chance.random() < 0.1:
            raise Refuse(self.chance.choice((10040, 11094, 10066)))
        return self.exchange.accept(params["channels"])

    async def count(self, method: str, params: dict[str, Any]) -> None:
        """Note at each request whether more than one connection is open."""
        open_now = [
            peer for peer in self.exchange.peers if peer.state.name == "OPEN" and not peer.transport.is_closing()
        ]
        self.open_at_once = max(self.open_at_once, len(open_now))

    async def send_prices(self) -> None:
        """Send a price on every channel 50 times a second; note it by its timestamp."""
        while True:
            for channel in CHANNELS:
                if channel not in self.muted and not self.stalled and channel in self.exchange.subscribed:
                    cents = self.chance.randrange(1, 10**7)
                    self.prices[self.exchange.stamp + 1000] = Decimal(f"{cents / 100:.2f}")
                    await self.exchange.price(channel, cents / 100)
            await anyio.sleep(0.02)

    async def fault(self) -> str:
        """Inject a random fault; return its kind."""
        kind = self.chance.choice(("abort", "abort", "close", "stall", "mute", "nonsense"))
        peers = list(self.exchange.peers)
        match kind:
            case "abort":
                for peer in peers:
                    peer.transport.abort()
            case "close":
                for peer in peers:
                    await peer.close(self.chance.choice((1000, 1001, 1011, 1012)))
            case "stall":
                self.stalled = True
            case "mute":
                self.muted = set(self.chance.sample(CHANNELS, self.chance.randrange(1, 4)))
            case _:
                for peer in peers:
                    await self._nonsense(peer)
        return kind

    async def _nonsense(self, peer: Any) -> None:
        try:
            for _ in range(20):
                await peer.send("".join(self.chance.choices('{}[]",:123abc', k=30)))
        except ConnectionClosed:
            return

    async def mend(self, kind: str, follower: Follower, connections: int, requested: int) -> None:
        """Wait until the fault was noticed, then let everything work again."""
        if kind == "mute":
            noticed = lambda: len(self.exchange.requests_of("public/subscribe")) > requested  # noqa: E731
        else:
            noticed = lambda: self.exchange.connections > connections  # noqa: E731
        if kind in ("stall", "mute"):
            await follower.until(noticed, within=60)
        self.muted, self.stalled = set(), False
        await follower.until(noticed, within=60)


async def run(seed: int, faults: int, kinds: Counter[str]) -> None:
    """Run one client under so many faults; assert everything that must hold."""
    budget, attempts = Noting(time_scale=HURRY), AttemptLimiter(max_attempts=10_000)
    async with scripted_exchange() as exchange, anyio.create_task_group() as tasks:
        faulty = FaultyExchange(exchange, seed)
        tasks.start_soon(faulty.send_prices)
        options = {"timeouts": FAST, "budget": budget, "attempts": attempts}
        async with following(exchange.url, *TICKERS[:2], **options) as follower:
            follower.deribit_client.want([TICKERS[2]])
            for _ in range(faults):
                await _all_tick(follower)
                connections, requested = exchange.connections, len(exchange.requests_of("public/subscribe"))
                kind = await faulty.fault()
                kinds[kind] += 1
                await faulty.mend(kind, follower, connections, requested)
            await _all_tick(follower)
            states = follower.states
            for tick in follower.ticks:
                assert tick.price == faulty.prices[tick.exchange_timestamp]
        tasks.cancel_scope.cancel()
    assert states[0] is CONNECTING
    assert set(pairwise(states)) <= LEGAL
    assert faulty.open_at_once == 1
    _never_over_budget(budget.taken)


async def _all_tick(follower: Follower) -> None:
    """Wait until every wanted ticker has ticked from now on."""
    start = len(follower.messages)
    await follower.until(lambda: {t.ticker for t in follower.ticks_since(start)} == set(TICKERS), within=60)


def _never_over_budget(taken: list[tuple[Group, float]]) -> None:
    """The exchange's own accounting, at the speed of the test."""
    moments = [moment for _, moment in taken]
    for first, later in zip(moments, moments[15:], strict=False):
        assert later - first >= 1 / HURRY - 1e-6
    level, filled = 30_000.0, moments[0]
    for group, moment in taken:
        if group is Group.SUBSCRIBE:
            level = min(30_000.0, level + (moment - filled) * 10_000 * HURRY) - 3000
            filled = moment
            assert level > -1


@pytest.mark.parametrize("seed", [20_261_120])
async def test_a_thousand_kills_and_stalls(seed: int) -> None:
    """No lost subscription, no wrong price, never two connections, never over budget, only legal states."""
    kinds: Counter[str] = Counter()
    with anyio.fail_after(300):
        async with anyio.create_task_group() as tasks:
            for number in range(LINKS):
                tasks.start_soon(run, seed + number, FAULTS // LINKS, kinds)
    assert kinds.total() == FAULTS // LINKS * LINKS
    assert len(kinds) == 5
