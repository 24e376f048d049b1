"""Checks of what channels send: the fields of their messages, and how often they come."""

from collections.abc import AsyncIterator
from typing import Any

from ...statements import Statement, channels
from ..host import Host
from ..messages import Message
from ..registry import check
from ..rows import Observation, saw
from .channels import subscribe

LISTEN_SECONDS = 8.0


def fields(data: Any) -> tuple[str, ...]:
    """The names of an object's fields, in order; none for anything else."""
    return tuple(sorted(data)) if isinstance(data, dict) else ()


def has_fields(statement: Statement[Any], data: Any) -> Observation:
    """Whether an object has at least the fields of the statement; what is seen names those that are missing."""
    missing = [name for name in statement.value if name not in fields(data)]
    return saw(statement, f"without {', '.join(missing)}" if missing else statement.value, holds=not missing)


async def of_channels(host: Host, *names: str, seconds: float = LISTEN_SECONDS) -> dict[str, list[Message]]:
    """The messages of channels within the seconds, by channel."""
    async with host.socket() as socket:
        await subscribe(socket, *names)
        await socket.listen(seconds)
        return {name: [message for message in socket.received if message.channel == name] for name in names}


@check(channels.INDEX_FIELDS, channels.INDEX_SECONDS)
async def index(host: Host) -> AsyncIterator[Observation]:
    """Listen to an index."""
    name = f"deribit_price_index.{host.index}"
    found = (await of_channels(host, name, seconds=2 * LISTEN_SECONDS))[name]
    if len(found) > 2:
        yield saw(channels.INDEX_FIELDS, fields(found[0].data))
        seconds = (found[-1].at - found[1].at) / (len(found) - 2)
        stated, slack = channels.INDEX_SECONDS.value, host.clock.slack
        yield saw(
            channels.INDEX_SECONDS,
            round(seconds, 2),
            holds=0.7 * stated - slack / 20 <= seconds <= 1.5 * stated + slack / 4,
        )


@check(
    channels.TICKER_FIELDS,
    channels.QUOTE_FIELDS,
    channels.BOOK_BEGINS_WITH,
    channels.BOOK_CHANGE_EMPTY,
    channels.BOOK_CHAINED,
    channels.INCREMENTAL_BEGINS_WITH,
    channels.TRADES_ARE_LIST,
    channels.BAR_FIELDS,
)
async def busy_instrument(host: Host) -> AsyncIterator[Observation]:
    """Listen to every channel of a busy perpetual."""
    name = host.perpetual
    kinds = {
        "ticker": f"ticker.{name}.100ms",
        "quote": f"quote.{name}",
        "book": f"book.{name}.100ms",
        "incremental": f"incremental_ticker.{name}",
        "trades": f"trades.{name}.100ms",
        "bar": f"chart.trades.{name}.1",
    }
    found = await of_channels(host, *kinds.values(), seconds=2 * LISTEN_SECONDS)
    data = {kind: [message.data for message in found[channel]] for kind, channel in kinds.items()}
    if data["ticker"]:
        yield has_fields(channels.TICKER_FIELDS, data["ticker"][0])
    if data["quote"]:
        yield saw(channels.QUOTE_FIELDS, fields(data["quote"][0]))
    if data["trades"]:
        yield saw(channels.TRADES_ARE_LIST, all(isinstance(one, list) for one in data["trades"]))
    if data["bar"]:
        yield saw(channels.BAR_FIELDS, fields(data["bar"][0]))
    if data["incremental"]:
        yield saw(channels.INCREMENTAL_BEGINS_WITH, data["incremental"][0].get("type"))
    for observation in _book(data["book"]):
        yield observation


def _book(messages: list[dict[str, Any]]) -> list[Observation]:
    if not messages:
        return []
    changes = messages[1:]
    seen = [saw(channels.BOOK_BEGINS_WITH, messages[0].get("type"))]
    if changes:
        empty = sum(not change.get("bids") and not change.get("asks") for change in changes)
        seen.append(saw(channels.BOOK_CHANGE_EMPTY, f"{empty} of {len(changes)}" if empty else False))
        pairs = zip(messages, changes, strict=False)
        chained = all(after.get("prev_change_id") == before.get("change_id") for before, after in pairs)
        seen.append(saw(channels.BOOK_CHAINED, chained))
    return seen


@check(channels.FAST_MARKET, channels.STATISTICS_TIMESTAMP, channels.RANKING_FIELDS)
async def of_an_index(host: Host) -> AsyncIterator[Observation]:
    """Listen to the statistics and the ranking of an index."""
    statistics, ranking = f"deribit_price_statistics.{host.index}", f"deribit_price_ranking.{host.index}"
    found = await of_channels(host, statistics, ranking)
    if found[statistics]:
        names = fields(found[statistics][0].data)
        yield saw(channels.STATISTICS_TIMESTAMP, "timestamp" in names)
        known = [name for name in ("fast_market", "high_volatility") if name in names]
        yield saw(channels.FAST_MARKET, known[0] == "fast_market" if len(known) == 1 else ", ".join(known) or "neither")
    if found[ranking] and isinstance(found[ranking][0].data, list) and found[ranking][0].data:
        yield saw(channels.RANKING_FIELDS, fields(found[ranking][0].data[0]))


#: Fields of a ticker that are numbers or null.
NUMBERS = (
    "last_price",
    "mark_price",
    "index_price",
    "min_price",
    "max_price",
    "settlement_price",
    "estimated_delivery_price",
    "best_bid_price",
    "best_bid_amount",
    "best_ask_price",
    "best_ask_amount",
    "open_interest",
)
MOST_TICKERS = 400


@check(channels.STRINGS_FOR_NUMBERS, channels.OPTION_FIELDS)
async def many_tickers(host: Host) -> AsyncIterator[Observation]:
    """Look at one ticker of many instruments, options above all, for a text where a number is expected."""
    if host.coinbase:
        names = [host.perpetual, "ETH_USDC-PERPETUAL", "SOL_USDC-PERPETUAL"]
    else:
        rows = sorted(await host.instruments(), key=lambda row: row.get("kind") != "option")
        names = [str(row["instrument_name"]) for row in rows[:: max(1, len(rows) // MOST_TICKERS)]][:MOST_TICKERS]
    found = await of_channels(host, *(f"ticker.{name}.100ms" for name in names), seconds=3)
    tickers = [messages[0].data for messages in found.values() if messages]
    if not tickers:
        return
    texts = {f"{key} {one[key]}" for one in tickers for key in NUMBERS if isinstance(one.get(key), str)}
    yield saw(channels.STRINGS_FOR_NUMBERS, texts or False)
    option = next((one for one in tickers if "greeks" in one), None)
    if option is not None:
        yield has_fields(channels.OPTION_FIELDS, option)


@check(channels.MARKPRICE_IS_LIST)
async def mark_prices(host: Host) -> AsyncIterator[Observation]:
    """Listen to the mark prices of all options of an index."""
    name = f"markprice.options.{host.index}"
    found = (await of_channels(host, name))[name]
    if found:
        rows = found[0].data
        good = isinstance(rows, list) and all(isinstance(row, dict) and row.get("iv", 0) < 10 for row in rows)
        yield saw(channels.MARKPRICE_IS_LIST, good)
