"""Decoding: exact numbers, and nothing that the exchange was ever seen to send is misread or crashes."""

import json
from decimal import Decimal

import pytest

from cryptomarket.deribit.auth import Grant
from cryptomarket.deribit.channels import ticker_of
from cryptomarket.deribit.messages import Reading, UnreadableMessage, decode_frame, number, read_price
from cryptomarket.deribit.protocol import Notified, Protocol
from cryptomarket.model import Tick
from tests.recorded import recorded_lines

BTC = "BTC-PERPETUAL"
STAMP = 1790755218559


def instrument(**fields: str) -> Reading:
    """Read a ticker with these raw JSON fields."""
    given = {"timestamp": str(STAMP), "instrument_name": f'"{BTC}"', "mark_price": "83212.14", **fields}
    return read_price(BTC, ("{" + ",".join(f'"{key}":{value}' for key, value in given.items()) + "}").encode())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8.7e3", "8700"),
        ("1.0002e6", "1000200"),
        ("2.0e-5", "0.000020"),
        ("-4.467407940520975e-5", "-0.00004467407940520975"),
        ("0.1", "0.1"),
        ("79999.999999999999999999", "79999.999999999999999999"),
    ],
)
def test_keeps_the_exact_decimal(text: str, value: str) -> None:
    """A number is the decimal it was written as, exponents included."""
    assert str(number(text.encode())) == str(Decimal(value)) or format(number(text.encode()), "f") == value


@pytest.mark.parametrize(
    "text", ["null", '"undefined"', '"expired"', "true", "{}", "[1]", "", "1e999999999", "-", "NaN"]
)
def test_what_is_no_number_is_none(text: str) -> None:
    """A word, a null or nothing where a number belongs is no number and no error."""
    assert number(text.encode()) is None


def test_a_ticker_that_never_traded_has_its_mark_and_no_last() -> None:
    """The mark is the price; last, bid and ask may be missing in every way seen on the wire."""
    tick = instrument(last_price="null", best_bid_price="0.0", best_bid_amount="0.0", best_ask_price='"undefined"').tick
    assert tick == Tick(BTC, Decimal("83212.14"), STAMP, fields=("null,null,null,0.0,null", None, None, None, None))


def test_a_bid_of_zero_that_somebody_offers_is_a_bid() -> None:
    """Price zero means an empty side only together with amount zero."""
    tick = instrument(best_bid_price="0.0", best_bid_amount="5.0").tick
    assert tick is not None
    assert tick.bid == 0


def test_an_instrument_without_a_mark_gives_its_state_and_no_tick() -> None:
    """No price is better than a guessed one."""
    assert instrument(mark_price="null", state='"settlement"') == Reading(None, "settlement")


@pytest.mark.parametrize("price", ["0", "0.0", "-5", "null"])
def test_an_index_is_positive(price: str) -> None:
    """An average of what people pay cannot be nothing or less."""
    data = f'{{"timestamp":{STAMP},"price":{price},"index_name":"btc_usd"}}'
    assert read_price("btc_usd", data.encode()).tick is None


@pytest.mark.parametrize(
    "data",
    [
        f'{{"timestamp":{STAMP},"price":1.0,"index_name":"eth_usd"}}',
        f'{{"timestamp":{STAMP},"price":1.0}}',
        '{"timestamp":12,"price":1.0,"index_name":"btc_usd"}',
        '{"timestamp":"soon","price":1.0,"index_name":"btc_usd"}',
        "[]",
        '{"a":' * 5000,
    ],
)
def test_data_that_contradicts_its_channel_is_refused(data: str) -> None:
    """Another name, an impossible stamp, another shape: no price comes out."""
    with pytest.raises(UnreadableMessage):
        read_price("btc_usd", data.encode())


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"jsonrpc":"1.0"}', '{"jsonrpc":"2.0"', "\ud800", '{"a":' * 9000]
)
def test_a_frame_that_is_none_is_unreadable(text: str) -> None:
    """Only one documented error comes out of the decoder."""
    with pytest.raises(UnreadableMessage):
        decode_frame(text)


def test_a_grant_shows_no_token() -> None:
    """What is printed by accident is harmless."""
    assert "abc" not in repr(Grant(access_token="abc", refresh_token="abcd", expires_in=5, scope="connection"))


def test_reads_every_recorded_price() -> None:
    """Each recorded notification of a ticker or index yields exactly the numbers of the file."""
    protocol, read = Protocol(), 0
    for line in recorded_lines():
        if line["direction"] == "out" or line.get("part") == "result":
            continue
        if line.get("part") == "params.data":
            channel, data = line["channel"], line["raw"].encode()
        else:
            events = protocol.receive(line["raw"], 0.0)
            if not isinstance(events[0], Notified):
                continue
            channel, data = events[0].channel, bytes(events[0].data)
        ticker = ticker_of(channel)
        if ticker is None:
            continue
        expected = json.loads(data, parse_float=Decimal, parse_int=Decimal)
        tick = read_price(ticker, data).tick
        assert tick is not None
        assert tick.price == expected["price" if channel.startswith("deribit") else "mark_price"]
        assert tick.exchange_timestamp == expected["timestamp"]
        last = expected.get("last_price")
        assert tick.last == (last if isinstance(last, Decimal) else None)
        read += 1
    assert read > 300
