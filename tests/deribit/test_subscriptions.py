"""What is wanted against what is confirmed, without a connection."""

import json

from cryptomarket.deribit.channels import PLATFORM, channel_of
from cryptomarket.deribit.subscriptions import Subscriptions, first_chunk

PLATFORM_SET = set(PLATFORM)


def settle(subscriptions: Subscriptions, now: float = 0.0) -> None:
    """Let the exchange confirm every request."""
    while chunk := subscriptions.next_unsubscribe():
        subscriptions.unsubscribed(chunk)
    while chunk := subscriptions.next_subscribe(now):
        subscriptions.answered(chunk, set(chunk), now)


def test_the_union_is_asked_once() -> None:
    """Configured ones first, so that a name that streams want cannot delay them; an index has a channel of its kind."""
    subscriptions = Subscriptions(["btc_usd", "ETH-PERPETUAL"])
    subscriptions.want(["btc_usd", "BTC-PERPETUAL"])
    first = {"deribit_price_index.btc_usd", "ticker.ETH-PERPETUAL.100ms"} | PLATFORM_SET
    assert set(subscriptions.next_subscribe(0.0)) == first
    assert set(subscriptions.next_subscribe(0.0)) == {"ticker.BTC-PERPETUAL.100ms"}
    assert subscriptions.next_subscribe(0.0) == []


def test_a_ticker_that_is_not_wanted_any_more_is_unsubscribed() -> None:
    """At once: the grace period of a ticker is the demand's, not repeated here."""
    subscriptions = Subscriptions([])
    subscriptions.want(["eth_usd"])
    settle(subscriptions)
    subscriptions.want([])
    assert "eth_usd" not in subscriptions.tickers()
    assert subscriptions.next_unsubscribe() == ["deribit_price_index.eth_usd"]


def test_a_configured_ticker_never_leaves() -> None:
    """Whatever streams want."""
    subscriptions = Subscriptions(["btc_usd"])
    settle(subscriptions)
    subscriptions.want(["btc_usd"])
    subscriptions.want([])
    assert subscriptions.next_unsubscribe() == []


def test_a_refused_channel_is_asked_again_ever_more_rarely() -> None:
    """After one minute, then two; only the first refusal is returned."""
    subscriptions, channel = Subscriptions(["x_usd"]), channel_of("x_usd")
    due = subscriptions.next_subscribe(0.0)
    assert subscriptions.answered(due, PLATFORM_SET, 0.0) == [channel]
    assert subscriptions.next_subscribe(59.0) == []
    assert subscriptions.next_subscribe(60.0) == [channel]
    assert subscriptions.answered([channel], (), 60.0) == []
    assert subscriptions.next_subscribe(179.0) == []
    assert subscriptions.next_subscribe(180.0) == [channel]


def test_who_asks_for_a_refused_ticker_is_told() -> None:
    """Also when the refusal happened before."""
    subscriptions = Subscriptions([])
    subscriptions.want(["x_usd"])
    subscriptions.answered(subscriptions.next_subscribe(0.0), (), 0.0)
    subscriptions.want([])
    assert subscriptions.want(["x_usd"]) == ["x_usd"]


def test_confirmations_die_with_the_connection_and_demand_does_not() -> None:
    """Every channel is requested again on the next one, the refused included."""
    subscriptions = Subscriptions(["btc_usd"])
    subscriptions.want(["nope_usd"])
    due = subscriptions.next_subscribe(0.0)
    subscriptions.answered(due, set(due) - {channel_of("nope_usd")}, 0.0)
    subscriptions.connection_lost()
    assert subscriptions.confirmed() == set()
    assert set(subscriptions.next_subscribe(1.0)) == set(due)


def test_raw_and_other_channels_never_share_a_request() -> None:
    """One refused raw channel fails the whole request."""
    subscriptions = Subscriptions(["BTC-PERPETUAL", "btc_usd"], raw=True)
    subscriptions.login_changed(True)
    chunks = [subscriptions.next_subscribe(0.0), subscriptions.next_subscribe(0.0)]
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
    assert subscriptions.next_unsubscribe() == [channel]
    assert subscriptions.next_subscribe(1.0) == []
    subscriptions.unsubscribed([channel])
    assert subscriptions.next_subscribe(1.0) == [channel]
