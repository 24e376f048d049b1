"""Print what cryptofeed 2.4 hands to its callbacks, until that is enough: ``host:port client_id client_secret``."""

import asyncio
import json
import sys
from collections import Counter

from cryptofeed import FeedHandler
from cryptofeed.connection import RestEndpoint, WebsocketEndpoint
from cryptofeed.defines import FUNDING, L1_BOOK, L2_BOOK, OPEN_INTEREST, TICKER, TRADES
from cryptofeed.exchanges import Deribit

SYMBOL = "BTC-USD-PERP"
#: So many of each kind are enough, and after so many seconds it ends in any case.
ENOUGH = {"l1": 10, "ticker": 10, "trade": 5, "book": 10, "funding": 10, "interest": 1}
SECONDS = 30.0
printed: Counter[str] = Counter()


def say(kind: str, **values: object) -> None:
    """Print a line."""
    printed[kind] += 1
    if printed[kind] <= ENOUGH[kind]:
        print(json.dumps({"kind": kind, **values}, default=str))


async def quote(found: object, _receipt: float) -> None:
    say("l1", bid=found.bid_price, ask=found.ask_price, timestamp=found.timestamp)


async def ticker(found: object, _receipt: float) -> None:
    say("ticker", bid=found.bid, ask=found.ask, timestamp=found.timestamp)


async def trade(found: object, _receipt: float) -> None:
    say("trade", price=found.price, amount=found.amount, side=found.side, id=found.id, timestamp=found.timestamp)


async def book(found: object, _receipt: float) -> None:
    bids, asks = found.book.bids, found.book.asks
    say("book", bids=bids.to_list(), asks=asks.to_list(), timestamp=found.timestamp)


async def funding(found: object, _receipt: float) -> None:
    say("funding", mark_price=found.mark_price, rate=found.rate, timestamp=found.timestamp)


async def interest(found: object, _receipt: float) -> None:
    say("interest", open_interest=found.open_interest, timestamp=found.timestamp)


async def enough(kinds: int) -> None:
    """Wait until there is enough of so many kinds."""
    for _ in range(int(SECONDS / 0.1)):
        await asyncio.sleep(0.1)
        if len(printed) == kinds and all(printed[kind] >= ENOUGH[kind] for kind in printed):
            break


def main(place: str, client_id: str, client_secret: str) -> None:
    (endpoint,) = Deribit.rest_endpoints
    Deribit.websocket_endpoints = [WebsocketEndpoint(f"wss://{place}/ws/api/v2")]
    Deribit.rest_endpoints = [RestEndpoint(f"https://{place}", routes=endpoint.routes)]
    channels = {L1_BOOK: quote}
    if client_id:
        channels |= {TICKER: ticker, TRADES: trade, L2_BOOK: book, FUNDING: funding, OPEN_INTEREST: interest}
    settings = {
        "log": {"disabled": True},
        "uvloop": False,
        "deribit": {"key_id": client_id, "key_secret": client_secret},
    }
    handler = FeedHandler(config=settings)
    handler.add_feed(Deribit(config=settings, symbols=[SYMBOL], channels=list(channels), callbacks=channels))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    waiting = loop.create_task(enough(len(channels)))
    waiting.add_done_callback(lambda _: loop.stop())
    handler.run(start_loop=True, install_signal_handlers=False)


main(*sys.argv[1:])
