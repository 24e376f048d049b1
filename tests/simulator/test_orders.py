"""Orders rest, are filled and cancelled, and the channels of their account tell of it."""

from typing import Any

import anyio

from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.exchange import Exchange, running_exchange

from .client import Client, connected

PERPETUAL = "BTC-PERPETUAL"


async def _best(client: Client, name: str = PERPETUAL) -> tuple[float, float]:
    ticker = await client.result("public/ticker", instrument_name=name)
    return ticker["best_bid_price"], ticker["best_ask_price"]


async def test_a_market_order_is_filled_and_three_channels_tell_of_it() -> None:
    """The answer has order and trade, the channels have the same ones, and the position is there."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.login()
        channels = [f"user.{what}.any.any.raw" for what in ("orders", "trades", "changes")]
        assert len(await client.result("private/subscribe", channels=channels)) == 3
        result = await client.result("private/buy", instrument_name=PERPETUAL, amount=100, type="market", label="x")
        order, trades = result["order"], result["trades"]
        assert (order["order_state"], order["filled_amount"], order["label"]) == ("filled", 100.0, "x")
        assert [trade["order_id"] for trade in trades] == [order["order_id"]]
        notified = [(await client.notification())["params"] for _ in channels]
        told = {params["channel"]: params["data"] for params in notified}
        assert told[channels[0]] == order
        assert told[channels[1]] == trades
        assert (told[channels[2]]["orders"], told[channels[2]]["trades"]) == ([order], trades)
        position = await client.result("private/get_position", instrument_name=PERPETUAL)
        assert (position["size"], position["direction"]) == (100.0, "buy")
        assert position["average_price"] == trades[0]["price"]
        assert told[channels[2]]["positions"][0]["size"] == 100.0


async def test_a_limit_order_rests_until_the_market_comes_to_it() -> None:
    """It is open, listed under currency and instrument, and filled at its own price."""
    moment = [1_795_200_000.0]
    async with running_exchange(wall=lambda: moment[0]) as exchange, connected(exchange) as client:
        await client.login()
        channel = f"user.orders.{PERPETUAL}.100ms"
        await client.result("private/subscribe", channels=[channel])
        bid, _ = await _best(client)
        words: dict[str, Any] = {"instrument_name": PERPETUAL, "amount": 10, "price": bid}
        order = (await client.result("private/buy", **words))["order"]
        assert order["order_state"] == "open"
        for method, params in (
            ("private/get_open_orders", {}),
            ("private/get_open_orders_by_currency", {"currency": "BTC"}),
            ("private/get_open_orders_by_instrument", {"instrument_name": PERPETUAL}),
        ):
            assert [row["order_id"] for row in await client.result(method, **params)] == [order["order_id"]]
        assert await client.result("private/get_open_orders_by_currency", currency="ETH") == []
        with anyio.fail_after(30):
            while (await client.result("private/get_order_state", order_id=order["order_id"]))["order_state"] == "open":
                moment[0] += 60
                await anyio.sleep(0.03)
        told = [(await client.notification(channel))["params"]["data"][0]["order_state"] for _ in range(2)]
        assert told == ["open", "filled"]
        trades = await client.result("private/get_user_trades_by_instrument", instrument_name=PERPETUAL)
        assert [(trade["price"], trade["liquidity"]) for trade in trades["trades"]] == [(bid, "M")]


async def test_orders_can_be_changed_and_cancelled() -> None:
    """Each is told of, and a finished one can be neither."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.login()
        bid, _ = await _best(client)
        low = round(bid * 0.99 / 0.5) * 0.5
        words: dict[str, Any] = {"instrument_name": PERPETUAL, "amount": 10, "price": low, "label": "mine"}
        first = (await client.result("private/buy", **words))["order"]["order_id"]
        edited = (await client.result("private/edit", order_id=first, amount=20, price=low - 1))["order"]
        assert (edited["amount"], edited["price"], edited["replaced"]) == (20.0, low - 1, True)
        assert (await client.result("private/cancel", order_id=first))["order_state"] == "cancelled"
        assert await client.error("private/cancel", order_id=first) == 11044
        for _ in range(3):
            await client.result("private/buy", **words)
        assert await client.result("private/cancel_by_label", label="other") == 0
        assert await client.result("private/cancel_all") == 3
        history = await client.result("private/get_order_history_by_currency", currency="BTC", include_unfilled=True)
        assert [row["order_state"] for row in history] == ["cancelled"] * 4


async def test_an_order_that_the_instrument_does_not_allow_is_refused() -> None:
    """The parameter is named: an amount or a price off its grid, none at all, an unknown type."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.login()
        good: dict[str, Any] = {"instrument_name": PERPETUAL, "amount": 10, "price": 1000.0}
        for wrong in ({"amount": 15}, {"price": 1000.3}, {"price": None}, {"type": "stop"}, {"amount": None}):
            words = {name: value for name, value in (good | wrong).items() if value is not None}
            error = (await client.ask("private/buy", **words))["error"]
            assert (error["code"], error["data"]["param"]) == (-32602, next(iter(wrong)))


async def test_what_must_not_cross_or_must_not_rest_does_not() -> None:
    """A post-only order goes beside the best price or is rejected; one that must be filled at once is cancelled."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.login()
        bid, ask = await _best(client)
        high: dict[str, Any] = {"instrument_name": PERPETUAL, "amount": 10, "price": ask + 100, "post_only": True}
        moved = (await client.result("private/buy", **high))["order"]
        assert moved["order_state"] == "open"
        assert moved["price"] < ask + 100
        assert (await client.result("private/buy", **high, reject_post_only=True))["order"]["order_state"] == "rejected"
        at_once = {"time_in_force": "fill_or_kill", "price": round(bid * 0.99 / 0.5) * 0.5, "amount": 10}
        result = await client.result("private/buy", instrument_name=PERPETUAL, **at_once)
        assert (result["order"]["order_state"], result["trades"]) == ("cancelled", [])


async def test_an_account_sees_its_own_orders_alone() -> None:
    """Another account hears and reads nothing; reading alone does not trade."""
    accounts = [SimulatedAccount("demo", "demo-secret"), SimulatedAccount("other", "demo-secret")]
    async with running_exchange(accounts=accounts) as exchange, connected(exchange) as one, connected(exchange) as two:
        await one.login()
        await _log_in_other(exchange, two)
        await two.result("private/subscribe", channels=["user.orders.any.any.raw"])
        await one.result("private/buy", instrument_name=PERPETUAL, amount=10, type="market")
        assert await two.result("private/get_open_orders") == []
        assert (await two.result("private/get_user_trades_by_currency", currency="BTC"))["trades"] == []
        assert two.notifications == []
        await one.login("trade:read")
        assert await one.error("private/buy", instrument_name=PERPETUAL, amount=10, type="market") == 13021


async def _log_in_other(exchange: Exchange, client: Client) -> None:
    words = {"client_id": "other", "client_secret": "demo-secret"}
    await client.result("public/auth", grant_type="client_credentials", **words)


async def test_the_average_price_of_a_position_is_that_of_what_is_held() -> None:
    """Selling a part keeps it, selling more than is held begins anew, and closing leaves nothing."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.login()

        async def trade(method: str, amount: int) -> tuple[float, float, float]:
            result = await client.result(method, instrument_name=PERPETUAL, amount=amount, type="market")
            position = await client.result("private/get_position", instrument_name=PERPETUAL)
            return position["size"], position["average_price"], result["trades"][0]["price"]

        size, average, price = await trade("private/buy", 100)
        assert (size, average) == (100.0, price)
        assert (await trade("private/sell", 40))[:2] == (60.0, price)
        size, average, price = await trade("private/sell", 100)
        assert (size, average) == (-40.0, price)
        await client.result("private/close_position", instrument_name=PERPETUAL, type="market")
        position = await client.result("private/get_position", instrument_name=PERPETUAL)
        assert (position["size"], position["direction"]) == (0.0, "zero")
