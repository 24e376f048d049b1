"""The public methods about instruments and the past, and what other clients need of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from cryptomarket.simulator.exchange import running_exchange

from .client import RICH, Client, connected

NOW = 1_795_197_600_000
HOUR = 3_600_000


@asynccontextmanager
async def asking() -> AsyncIterator[Client]:
    """A client of an exchange whose clock stands still."""
    async with running_exchange(wall=lambda: NOW / 1000, budgets=RICH) as exchange, connected(exchange) as client:
        yield client


async def test_the_list_of_instruments_is_chosen_by_currency_and_kind() -> None:
    """All without a parameter; by the currency of settlement; nothing in SOL; others are refused."""
    async with asking() as client:
        everything = await client.result("public/get_instruments")
        assert {row["kind"] for row in everything} == {"future", "option", "spot", "future_combo", "option_combo"}
        assert await client.result("public/get_instruments", currency="any") == everything
        linear = await client.result("public/get_instruments", currency="USDC", kind="option")
        assert {row["instrument_name"].partition("-")[0] for row in linear} == {"SOL_USDC", "XRP_USDC"}
        assert all(row["tick_size_steps"] for row in linear)
        assert await client.result("public/get_instruments", currency="SOL") == []
        assert await client.error("public/get_instruments", currency="LUNA") == -32602


async def test_expirations_are_flat_for_any_and_keyed_for_one() -> None:
    """The shape depends on the currency; a kind chooses among them."""
    async with asking() as client:
        flat = await client.result("public/get_expirations", currency="any", kind="any")
        assert set(flat) == {"option", "future"}
        assert flat["future"][-1] == "PERPETUAL"
        keyed = await client.result("public/get_expirations", currency="BTC", kind="option")
        assert keyed == {"btc": {"option": flat["option"]}}


async def test_summaries_are_of_one_currency_and_two_seconds() -> None:
    """``any`` is refused; rows have the time of the snapshot."""
    async with asking() as client:
        error = (await client.ask("public/get_book_summary_by_currency", currency="any"))["error"]
        assert error["data"] == {"reason": "invalid currency", "param": "currency"}
        rows = await client.result("public/get_book_summary_by_currency", currency="ETH", kind="option_combo")
        assert rows
        assert all(row["creation_timestamp"] % 2000 == 0 for row in rows)


async def test_the_names_of_indices() -> None:
    """Shares and commodities have indices in USDC; nearly none in dollars are supported for trading."""
    async with asking() as client:
        names = await client.result("public/get_index_price_names")
        supported = await client.result("public/get_supported_index_names")
        assert {"btc_usd", "aapl_usdc", "brentoil_usdc", "btcdvol_usdc", "1000bonk_usdc"} <= set(names)
        assert {name for name in supported if name.endswith("_usd")} == {"btc_usd", "eth_usd"}
        assert len(names) == len(set(names)) > 200
        assert 100 < len(supported) < len(names)
        prices = [(await client.result("public/get_index_price", index_name=name))["index_price"] for name in names]
        assert all(price > 0 for price in prices)


@pytest.mark.parametrize("name", ["BTC-PERPETUAL", "XRP_USDC-PERPETUAL"])
async def test_trades_of_a_period_in_both_orders(name: str) -> None:
    """The newest or the oldest of the period first; what is left over is said."""
    async with asking() as client:
        start, end = NOW - HOUR, NOW - HOUR // 2
        words: dict[str, Any] = {"instrument_name": name, "start_timestamp": start, "end_timestamp": end, "count": 50}
        method = "public/get_last_trades_by_instrument_and_time"
        newest, oldest = await client.result(method, **words), await client.result(method, sorting="asc", **words)
        assert newest["has_more"]
        assert oldest["has_more"]
        for answer, step in ((newest["trades"], -1), (oldest["trades"], 1)):
            stamps = [row["timestamp"] for row in answer]
            assert len(stamps) == 50
            assert all(start <= stamp <= end for stamp in stamps)
            assert all((later - earlier) * step >= 0 for earlier, later in pairwise(stamps))
        assert oldest["trades"][-1]["timestamp"] < newest["trades"][-1]["timestamp"]
        short = await client.result(method, **(words | {"start_timestamp": end - 5000}))
        assert not short["has_more"]


async def test_funding_has_a_history() -> None:
    """One row an hour with the index, as the funding is paid; dated futures have none."""
    async with asking() as client:
        words = {"start_timestamp": NOW - 24 * HOUR, "end_timestamp": NOW}
        rows = await client.result("public/get_funding_rate_history", instrument_name="BTC-PERPETUAL", **words)
        assert [row["timestamp"] for row in rows] == list(range(NOW - 24 * HOUR, NOW + 1, HOUR))
        assert all(later["prev_index_price"] == earlier["index_price"] for earlier, later in pairwise(rows))
        names = [row["instrument_name"] for row in await client.result("public/get_instruments", currency="BTC")]
        dated = next(name for name in names if name.count("-") == 1 and "PERPETUAL" not in name and "_" not in name)
        assert await client.error("public/get_funding_rate_history", instrument_name=dated, **words) == -32602
        chart = await client.result("public/get_funding_chart_data", instrument_name="BTC-PERPETUAL", length="8h")
        assert len(chart["data"]) == 9


async def test_a_chart_has_5000_bars_at_most() -> None:
    """Of a longer period the newest are returned."""
    async with asking() as client:
        words = {"instrument_name": "BTC-PERPETUAL", "resolution": "1", "end_timestamp": NOW}
        chart = await client.result("public/get_tradingview_chart_data", start_timestamp=NOW - 200 * HOUR, **words)
        assert len(chart["ticks"]) == 5000
        assert chart["ticks"][-1] == NOW - NOW % 60_000


async def test_tickers_books_and_combos_by_other_names() -> None:
    """All tickers of a currency, with books on request; an instrument by its number; a combo by its name."""
    async with asking() as client:
        rows = await client.result("public/tickers_by_currency", currency="BTC", kind="future")
        assert {row["instrument_name"] for row in rows} >= {"BTC-PERPETUAL"}
        assert "bids" not in rows[0]
        deep = await client.result("public/tickers_by_currency", currency="BTC", kind="future", depth=3)
        assert len(deep[0]["bids"]) == 3
        number = (await client.result("public/get_instrument", instrument_name="ETH-PERPETUAL"))["instrument_id"]
        book = await client.result("public/get_order_book_by_instrument_id", instrument_id=number)
        assert book["instrument_name"] == "ETH-PERPETUAL"
        names = await client.result("public/get_combo_ids", currency="ETH")
        assert await client.result("public/get_combo_details", combo_id=names[0]) in await client.result(
            "public/get_combos", currency="ETH"
        )
        assert await client.error("public/get_combo_details", combo_id="ETH-CS-none") == 13020


async def test_an_instrument_that_is_not_listed_is_a_wrong_parameter() -> None:
    """With the reason that the real exchange was seen to give."""
    async with asking() as client:
        for name, reason in (("BTC-1JAN30", "instrument not found"), ("NO-SUCH", "wrong format")):
            error = (await client.ask("public/ticker", instrument_name=name))["error"]
            assert (error["code"], error["data"]) == (-32602, {"reason": reason, "param": "instrument_name"})


async def test_settlements_volumes_and_marks() -> None:
    """Settlements at 08:00 of each day, volumes of each currency, mark prices of options alone."""
    async with asking() as client:
        words = {"instrument_name": "BTC-PERPETUAL", "count": 3}
        rows = (await client.result("public/get_last_settlements_by_instrument", **words))["settlements"]
        assert [row["timestamp"] % (24 * HOUR) for row in rows] == [8 * HOUR] * 3
        assert "funding" in rows[0]
        volumes = await client.result("public/get_trade_volumes", extended=True)
        assert {"futures_volume", "spot_volume_30d"} <= set(volumes[0])
        option = (await client.result("public/get_instruments", currency="BTC", kind="option"))[0]["instrument_name"]
        period = {"start_timestamp": NOW - HOUR, "end_timestamp": NOW}
        assert len(await client.result("public/get_mark_price_history", instrument_name=option, **period)) == 61
        assert await client.result("public/get_mark_price_history", instrument_name="BTC-PERPETUAL", **period) == []


async def test_the_account_says_what_real_ones_say() -> None:
    """Fields beside the figures, maps of greeks, totals in dollars; deposits; the currencies of the account."""
    async with asking() as client:
        await client.login()
        summaries = await client.result("private/get_account_summaries")
        assert {"change_margin_model_api_limit", "disable_kyc_verification", "is_direct_access_allowed"} <= set(
            summaries
        )
        assert {"close_out_margin", "options_gamma_map", "total_equity_usd"} <= set(summaries["summaries"][0])
        identity = await client.result("private/get_account_summary", currency="BTC", extended=True)
        assert identity["self_trading_extended_to_subaccounts"] is False
        deposits = await client.result("private/get_deposits", currency="BTC")
        assert deposits["count"] == len(deposits["data"]) == 1
        assert await client.result("private/get_currencies") == await client.result("public/get_currencies")
