"""The simulator's answer to the request of every recorded answer has the shape of the recorded one.

The request of each recorded line is sent to the simulator, and the shapes of the answers are compared. Differences are
listed below with reasons.
"""

import json
import re
import time
from pathlib import PurePath
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.switches import Switches
from tests.recorded import recorded_folder, recorded_lines

from .client import RICH, Client, connected, http
from .shapes import differences, shape

#: Requests of recorded HTTP answers that do not carry their address, by endpoint or by the name of the source's file.
REQUESTS = {
    "public/get_index_price": "index_name=btc_usd",
    "public/status": "",
    "public/get_index_price_names": "",
    "public/get_index_chart_data": "index_name=btc_usd&range=1h",
    "public/get_volatility_index_data": "currency=BTC&start_timestamp=0&end_timestamp=9999999999999&resolution=43200",
    "public/ticker": "instrument_name=BTC-PERPETUAL",
    "public/get_funding_rate_value": "instrument_name=BTC-PERPETUAL&start_timestamp=0&end_timestamp=9999999999999",
    "public/get_expirations": "currency=any&kind=any",
    "public/get_combos": "currency=BTC",
    "public/get_instrument": "instrument_name=BTC-PERPETUAL",
    "public/get_tradingview_chart_data": "instrument_name=BTC-PERPETUAL&start_timestamp=0&end_timestamp=9999999999999"
    "&resolution=1",
    "public/get_order_book": "instrument_name=BTC-PERPETUAL&depth=3",
    "public/get_book_summary_by_instrument": "instrument_name=BTC-PERPETUAL",
    "private/get_positions": "currency=BTC",
}
FILES = {
    "error_bad_symbol.json": "public/ticker?instrument_name=NO-SUCH-THING",
    "fetch_ticker.json": "public/ticker",
    "fetch_funding_rate.json": "public/get_funding_rate_value",
    "http_get_expirations_any.json": "public/get_expirations",
    "http_get_tradingview_chart_data.json": "public/get_tradingview_chart_data",
    "http_get_instrument.json": "public/get_instrument",
    "http_get_combos.json": "public/get_combos",
}

#: Sources that read and wrote the numbers anew, which then lost their kind (``8.0`` became ``8``, or the reverse).
REENCODED = ("bourse", "kyber", "nautilus", "openbb", "tardis")

#: Allowed differences. Fields that the exchange added, by the first year in which a recording or a document has them:
#: earlier recordings need not have them.
SINCE = {
    2020: "estimated_delivery_price price_change mark_price",
    2022: "additional_reserve apr contracts counter_currency cross_collateral_enabled decimals delta_total_map "
    "fee_balance future_type in_cross_collateral_pool instrument_id instrument_type limits_per_currency locked_balance "
    "margin_model network_currency network_fee options_gamma_map options_theta_map options_value "
    "options_vega_map price_index projected_delta_total projected_initial_margin projected_maintenance_margin "
    "settlement_currency spot_reserve tick_size_steps block_trade_min_trade_amount block_trade_tick_size",
    2024: "interest_value max_non_default_leverage volume_notional volume_usd",
    2026: "base_currency_uuid close_out_margin coinbase_networks currency_uuid index_id lot_size product_group "
    "onchain_operations_precision quote_currency_uuid starbase_match_id starbase_timestamp state total_delta_total_usd "
    "total_equity_usd total_initial_margin_usd total_maintenance_margin_usd total_margin_balance_usd underlying_type",
}
ADDED = {field: year for year, fields in SINCE.items() for field in fields.split()}

#: Allowed differences. Fields that are null, or not, from message to message.
NULLABLE = {
    "high": "without trades of the day",
    "low": "without trades of the day",
    "price_change": "without trades of the day",
    "volume": "without trades of the day, until 2021",
    "last_price": "never traded",
    "estimated_liquidation_price": "no position",
    "continuation": "the last page",
}

#: Allowed differences. Fields that a message of one instrument has and one of another has not.
OCCASIONAL = {
    "[].combo_trade_id": "the leg of a combo",
    "[].liquidation": "a trade that ended a position by force",
    ".delivery_price": "an expired instrument",
    ".settlement_price": "a combo before its first settlement; and tickers of 2019",
    ".result[].funding_8h": "perpetuals alone",
    ".result[].current_funding": "perpetuals alone",
    ".type": "the books of 2019 and 2020, and one of 2022 whose source left it out",
}

#: Allowed differences, each of one source.
SINGLE = {
    ("bourse", ".result[].user_id: str is int"): "its source replaced the number by a text",
    ("ex_deribit", ".result[].fee_precision: missing"): "gone since 7 October 2025",
    ("ex_deribit", ".result.limits.matching_engine: int is dict"): "limits are other ones since 2020",
    ("ex_deribit", ".result.limits.matching_engine_burst: missing"): "limits are other ones since 2020",
    ("ex_deribit", ".result.limits.non_matching_engine: int is dict"): "limits are other ones since 2020",
    ("ex_deribit", ".result.limits.non_matching_engine_burst: missing"): "limits are other ones since 2020",
    ("cryptofeed", ".result[].contract_size: int is float"): "in ETH an integer in 2021",
    ("cryptofeed", ".result[].min_trade_amount: int is float"): "in ETH an integer in 2021",
    ("tardis", ".estimated_delivery_price: str is float"): "the text expired, in 2020",
}


def _target(line: dict[str, Any], combo: str) -> str | None:
    """Method and query of a recorded HTTP answer, or None where they are unknown; ``combo`` is one that is listed."""
    if PurePath(line.get("source_file", "")).name == "http_get_last_trades_option_combo.json":
        return f"public/get_last_trades_by_instrument?instrument_name={combo}&count=3"
    if "url" in line:
        parts = urlsplit(line["url"])
        query = urlencode([pair for pair in parse_qsl(parts.query) if pair != ("expired", "false")])
        return f"{parts.path.removeprefix('/api/v2/')}?{query}"
    target = FILES.get(PurePath(line.get("source_file", "")).name) or line.get("endpoint") or _guess(line["raw"])
    if target is None or "?" in target:
        return target
    return f"{target}?{REQUESTS[target]}"


def _combo(exchange: Exchange) -> str:
    listed = exchange.state.market.instruments(exchange.state.now_ms())
    return next(name for name, found in listed.items() if found.kind == "option_combo")


def _guess(raw: str) -> str | None:
    if '"bids"' in raw:
        return "public/get_order_book"
    return "public/get_book_summary_by_instrument" if '"mid_price"' in raw else None


def _answers() -> list[dict[str, Any]]:
    return [line for line in recorded_lines() if line.get("transport") == "http" or "url" in line]


def _channel(line: dict[str, Any]) -> str | None:
    if line["direction"] != "in" or "url" in line or line.get("transport") == "http":
        return None
    if line.get("part") == "params.data":
        return str(line["channel"])
    message = json.loads(line["raw"])
    return str(message["params"]["channel"]) if message.get("method") == "subscription" else None


def _notifications() -> dict[str, list[dict[str, Any]]]:
    """The recorded notifications, by a channel of today that is alike."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in recorded_lines():
        channel = _channel(line)
        if channel is not None:
            found.setdefault(channel, []).append(line)
    return found


def _today(exchange: Exchange, channel: str) -> str:
    """The same channel of an instrument that is traded on the simulator."""
    names = list(exchange.state.market.instruments(exchange.state.now_ms()))
    combo = re.search(r"BTC-(STRD|CSR12)-[^.]+", channel)
    if combo:
        return channel.replace(combo[0], next(name for name in names if name.startswith(f"BTC-{combo[1]}-")))

    def traded(match: re.Match[str]) -> str:
        coin, side = match[1], match[4]
        return next(name for name in names if name.startswith(f"{coin}-") and _like(name, side))

    return re.sub(r"(BTC|ETH)-(\d{1,2}[A-Z]{3}\d\d)(-\d+-([CP]))?(?=[.]|$)", traded, channel)


def _like(name: str, side: str | None) -> bool:
    dated = re.fullmatch(r"\w+-\d{1,2}[A-Z]{3}\d\d(-\d+-([CP]))?", name)
    return dated is not None and dated[2] == side


def _unexplained(recorded: Any, simulated: Any, line: dict[str, Any]) -> set[str]:
    """The differences that no table above explains."""
    found = differences(shape(recorded), shape(simulated))
    return {difference for difference in found if not _explained(difference, line["file"])}


def _explained(difference: str, file: str) -> bool:
    path, _, what = difference.partition(": ")
    field = path.rpartition(".")[2].strip("[]")
    year = re.search(r"20\d\d", file)
    assert year is not None, file
    if set(what.split(" is ")) == {"int", "float"} and file.startswith(REENCODED):
        return True
    if what == "extra" and ADDED.get(field, 0) > int(year[0]):
        return True
    if "null" in what.split(" is ") and field in NULLABLE:
        return True
    return (what in ("missing", "extra") and path in OCCASIONAL) or (file.partition("-20")[0], difference) in SINGLE


async def test_answers_over_http_have_the_recorded_shape() -> None:
    """The simulator's answer to each recorded HTTP request has the recorded shape."""
    lines, wrong, requested = _answers(), {}, 0
    async with running_exchange() as exchange:
        for line in lines:
            target = _target(line, _combo(exchange))
            assert target is not None, line
            headers = await _bearer(exchange) if target.startswith("private/") else ""
            status, body = await http(exchange, f"/api/v2/{target}", headers=headers)
            recorded, simulated = json.loads(line["raw"]), json.loads(body)
            if line.get("part") == "result":
                simulated = simulated["result"]
            elif "id" in recorded:
                simulated = {"id": 1, **simulated}
            requested += 1
            unexplained = _unexplained(recorded, simulated, line)
            if unexplained or status != line.get("http_status", 200):
                wrong[f"{line['file']} {target}"] = (status, sorted(unexplained))
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())
    assert requested == len(lines)


async def _bearer(exchange: Exchange) -> str:
    words = urlencode(
        {"grant_type": "client_credentials", "client_id": "demo", "client_secret": "demo-secret", "scope": "session:x"}
    )
    _, body = await http(exchange, f"/api/v2/public/auth?{words}")
    return f"Authorization: Bearer {json.loads(body)['result']['access_token']}\r\n"


async def test_notifications_have_the_recorded_shape() -> None:
    """Every recorded notification, against those of the same channel today."""
    recorded, wrong, seen = _notifications(), {}, 0
    begun = time.monotonic()
    quick = lambda: 1_795_200_000 + (time.monotonic() - begun) * 60  # noqa: E731
    async with running_exchange(wall=quick, budgets=RICH) as exchange, connected(exchange) as client:
        await client.login()
        todays = {channel: _today(exchange, channel) for channel in recorded}
        for channel, lines in recorded.items():
            today = todays[channel]
            assert await client.result("public/subscribe", channels=[today]) == [today]
            simulated = [(await client.notification(today))["params"]["data"] for _ in range(2)]
            await client.result("public/unsubscribe", channels=[today])
            client.notifications.clear()
            for line in lines:
                message = json.loads(line["raw"])
                data = message if line.get("part") == "params.data" else message["params"]["data"]
                unexplained = min((_unexplained(data, one, line) for one in simulated), key=len)
                seen += 1
                if unexplained:
                    wrong[channel] = sorted(unexplained)
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())
    assert seen == sum(map(len, recorded.values())) > 500


async def _control(client: Client) -> list[dict[str, Any]]:
    """The simulator answers the requests of the recorded control session in the recorded shape."""
    book, ticker = "book.BTC-PERPETUAL.100ms", "ticker.BTC-PERPETUAL.100ms"
    return [
        await client.ask("public/set_heartbeat", interval=10),
        await client.ask("public/test"),
        await client.ask("public/subscribe", channels=[book, ticker]),
        await client.ask("private/get_account_summary", currency="BTC"),
        await client.ask("public/get_instruments", currency="BTC", kind="nonsense"),
    ]


async def test_control_answers_have_the_recorded_shape() -> None:
    """Heartbeat, test, subscribe, the refusal of a private call and of a bad parameter, against the recorded ones."""
    recorded = [json.loads(line["raw"]) for line in recorded_lines("fastmm-2026-09-13*") if "url" not in line]
    answers = [message for message in recorded if "id" in message]
    async with running_exchange() as exchange, connected(exchange) as client:
        simulated = await _control(client)
    assert [shape(answer) for answer in simulated] == [shape(answer) for answer in answers]
    for ours, theirs in zip(simulated, answers, strict=True):
        assert list(ours) == list(theirs)
        assert ours.get("error") == theirs.get("error")


async def test_a_test_request_is_the_recorded_text() -> None:
    """Byte for byte, in the order of keys that no other notification has."""
    texts = [line["raw"] for line in recorded_lines("fastmm-2026-09-13*") if "test_request" in line["raw"]]
    async with running_exchange(switches=Switches()) as exchange, connected(exchange) as client:
        await client.result("public/test")
        exchange.inject("test_request")
        assert await client.text() == texts[0]


def test_every_recorded_message_is_compared() -> None:
    """Each is an answer over HTTP, a notification, a text of the control session or the answer to a subscription."""
    answers = [line["raw"] for line in _answers()]
    rest = [line["raw"] for line in recorded_lines() if line["direction"] == "in" and _channel(line) is None]
    incoming = [json.loads(raw) for raw in rest if raw not in answers]
    control = [json.loads(line["raw"]) for line in recorded_lines("fastmm-2026-09-13*") if "url" not in line]
    left = [message for message in incoming if message not in control]
    assert len(left) == 2
    assert all(isinstance(message["result"], list) for message in left)


async def test_the_answer_to_a_subscription_has_the_recorded_shape() -> None:
    """A list of channels, with the four fields of the answer."""
    recorded = [json.loads(line["raw"]) for line in recorded_lines() if '"result":["book' in line["raw"]]
    recorded += [json.loads(line["raw"]) for line in recorded_lines() if '"result":["trades' in line["raw"]]
    async with running_exchange() as exchange, connected(exchange) as client:
        simulated = await client.ask("public/subscribe", channels=["ticker.BTC-PERPETUAL.100ms"])
    assert recorded
    assert all(shape(simulated) == shape(answer) for answer in recorded)


def test_each_allowed_difference_is_met() -> None:
    """No line of the tables is left over: each field of them is in a recording or in an answer of today."""
    text = "".join(line["raw"] for line in recorded_lines())
    paths = [path.partition(": ")[0] for _, path in SINGLE] + list(OCCASIONAL)
    fields = {path.rpartition(".")[2] for path in paths} | set(NULLABLE)
    assert [field for field in fields if f'"{field}"' not in text] == []


def test_answers_of_subscriptions_are_in_descending_order() -> None:
    """The rule the simulator follows holds for all recorded answers."""
    lists = [
        json.loads(line["raw"]).get("result") for line in recorded_lines("*.jsonl") if '"result":["' in line["raw"]
    ]
    channels = [names for names in lists if isinstance(names, list) and names and "." in str(names[0])]
    assert len(channels) >= 3
    assert all(names == sorted(names, reverse=True) for names in channels)


@pytest.mark.skipif(recorded_folder() is None, reason="no recordings of the exchange on this machine")
def test_shapes_tell_what_is_different() -> None:
    """The comparison itself: missing and extra keys, other types, elements of lists."""
    recorded, simulated = {"a": 1, "b": [{"c": None}], "d": "x"}, {"a": 1.5, "b": [{"c": "y"}], "e": True}
    assert differences(shape(recorded), shape(simulated)) == {
        ".a: int is float",
        ".b[].c: null is str",
        ".d: missing",
        ".e: extra",
    }
