"""What is wanted against what is confirmed, without a connection."""

import json

from cryptomarket.deribit.channels import PLATFORM, channel_of
from cryptomarket.deribit.subscriptions import Subscriptions, first_chunk

PLATFORM_SET = set(PLATFORM)


def settle(subscriptions: Subscriptions, now: float = 0.0) -> None:
    """Let the exchange accept and release everything asked."""
    while chunk := subscriptions.leave(now):
        subscriptions.left(chunk)
    while chunk := subscriptions.join(now):
        subscriptions.answered(chunk, set(chunk), now)


def test_the_union_is_asked_once() -> None:
    """Configured and wanted, an index by its channel and an instrument by its own."""
    subscriptions = Subscriptions(["btc_usd"])
    subscriptions.want(["btc_usd", "BTC-PERPETUAL"], 0.0)
    expected = {"deribit_price_index.btc_usd", "ticker.BTC-PERPETUAL.100ms"} | PLATFORM_SET
    assert set(subscriptions.join(0.0)) == expected
    assert subscriptions.join(0.0) == []


def test_a_ticker_stays_for_its_grace() -> None:
    """A page that reloads costs no subscription."""
    subscriptions = Subscriptions([], grace_seconds=30)
    subscriptions.want(["eth_usd"], 0.0)
    settle(subscriptions)
    subscriptions.want([], 10.0)
    assert subscriptions.leave(39.0) == []
    assert "eth_usd" not in subscriptions.tickers()
    assert subscriptions.leave(40.0) == ["deribit_price_index.eth_usd"]


def test_a_ticker_that_comes_back_in_time_never_left() -> None:
    """Nothing is asked when it is wanted again within the grace."""
    subscriptions = Subscriptions([], grace_seconds=30)
    subscriptions.want(["eth_usd"], 0.0)
    settle(subscriptions)
    subscriptions.want([], 10.0)
    subscriptions.want(["eth_usd"], 20.0)
    assert subscriptions.leave(100.0) == []
    assert subscriptions.join(100.0) == []


def test_a_configured_ticker_never_leaves() -> None:
    """Whatever streams want."""
    subscriptions = Subscriptions(["btc_usd"], grace_seconds=0)
    settle(subscriptions)
    subscriptions.want(["btc_usd"], 0.0)
    subscriptions.want([], 1.0)
    assert subscriptions.leave(2.0) == []


def test_a_refused_channel_is_asked_again_ever_more_rarely() -> None:
    """After one minute, then two; news of it only the first time."""
    subscriptions, channel = Subscriptions(["x_usd"]), channel_of("x_usd")
    asked = subscriptions.join(0.0)
    assert subscriptions.answered(asked, PLATFORM_SET, 0.0) == [channel]
    assert subscriptions.join(59.0) == []
    assert subscriptions.join(60.0) == [channel]
    assert subscriptions.answered([channel], (), 60.0) == []
    assert subscriptions.join(179.0) == []
    assert subscriptions.join(180.0) == [channel]


def test_who_asks_for_a_refused_ticker_is_told() -> None:
    """Also when the refusal happened before."""
    subscriptions = Subscriptions([])
    subscriptions.want(["x_usd"], 0.0)
    subscriptions.answered(subscriptions.join(0.0), (), 0.0)
    subscriptions.want([], 1.0)
    assert subscriptions.want(["x_usd"], 2.0) == ["x_usd"]


def test_confirmations_die_with_the_connection_and_demand_does_not() -> None:
    """Everything is asked again on the next one, the refused included."""
    subscriptions = Subscriptions(["btc_usd"])
    subscriptions.want(["nope_usd"], 0.0)
    asked = subscriptions.join(0.0)
    subscriptions.answered(asked, set(asked) - {channel_of("nope_usd")}, 0.0)
    subscriptions.lost()
    assert subscriptions.confirmed() == set()
    assert set(subscriptions.join(1.0)) == set(asked)


def test_raw_and_other_channels_never_share_a_request() -> None:
    """One refused raw channel fails the whole request."""
    subscriptions = Subscriptions(["BTC-PERPETUAL", "btc_usd"], raw=True)
    subscriptions.raw_allowed = True
    chunks = [subscriptions.join(0.0), subscriptions.join(0.0)]
    assert chunks[1] == ["ticker.BTC-PERPETUAL.raw"]
    assert "deribit_price_index.btc_usd" in chunks[0]


def test_chunks_are_bounded_by_count_and_by_bytes() -> None:
    """Whichever comes first; a name is never cut."""
    short = [f"a.{n}" for n in range(2000)]
    long = [f"ticker.{'X' * 100}{n}.100ms" for n in range(2000)]
    assert len(first_chunk(short)) == 500
    chunk = first_chunk(long)
    assert len(json.dumps(chunk, separators=(",", ":"))) <= 30_001
    assert len(chunk) > 200


def test_a_renewed_channel_leaves_and_joins() -> None:
    """Unsubscribe first, then subscribe."""
    subscriptions = Subscriptions(["btc_usd"])
    settle(subscriptions)
    channel = channel_of("btc_usd")
    subscriptions.renew([channel])
    assert subscriptions.leave(1.0) == [channel]
    assert subscriptions.join(1.0) == []
    subscriptions.left([channel])
    assert subscriptions.join(1.0) == [channel]
