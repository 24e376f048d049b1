"""What one price of the exchange costs on a connection where instruments have ended, and what a day's listings cost.

Frames go through a client without its socket: decoded, published, and applied by the catalogue and the latest values.
"""

import gc
import time
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from cryptomarket.cluster.single import SingleNode
from cryptomarket.deribit.channels import INSTRUMENT_CREATION, INSTRUMENT_STATE
from cryptomarket.deribit.client import DeribitClient
from cryptomarket.deribit.doors import DOORS
from cryptomarket.market.catalogue import Catalogue
from cryptomarket.market.latest import LatestValues
from cryptomarket.model import Instrument

__all__ = ["EndedInstruments", "main"]

PRICES, ROUNDS = 2_000, 15
ENDED, AT_ONCE = 100_000, 5_000
STAMP = 1_790_755_218_559


def frame(channel: str, **data: object) -> bytes:
    """One notification."""
    return msgspec.json.encode(
        {
            "jsonrpc": "2.0",
            "method": "subscription",
            "params": {"channel": channel, "data": {"timestamp": STAMP, **data}},
        }
    )


def state(name: str, word: str) -> bytes:
    """One change of the state of an instrument."""
    return frame(INSTRUMENT_STATE, instrument_name=name, state=word)


class EndedInstruments:
    """A client with its catalogue of 6,000 instruments, of which `end` lets some more end."""

    def __init__(self) -> None:
        self.node = SingleNode()
        tickers = ("btc_usd", "BTC-PERPETUAL")
        self.catalogue = Catalogue(self._fetch, configured=tickers)
        self.latest = LatestValues(tickers, monotonic=time.monotonic, wall=time.time)
        for receiver in (self.catalogue.on_message, self.latest.on_message):
            self.node.subscribe(receiver)
        self.catalogue._replace({name: self._instrument(name) for name in self.names("BTC-25DEC26", 6_000)})
        self.client = DeribitClient(
            DOORS["deribit"], tickers=tickers, publish=self.node.publish, price_index=self.catalogue.price_index
        )
        self.frames = [
            frame("deribit_price_index.btc_usd", price=83251.03, index_name="btc_usd"),
            frame("ticker.BTC-PERPETUAL.100ms", instrument_name="BTC-PERPETUAL", mark_price=83250.12, state="open"),
        ]

    @staticmethod
    def names(prefix: str, count: int) -> list[str]:
        """Names of options."""
        return [f"{prefix}-{50_000 + number}-C" for number in range(count)]

    @staticmethod
    def _instrument(name: str) -> Instrument:
        return Instrument(name, "option", "btc_usd", "BTC", 1_798_185_600, Decimal(1), "call", Decimal(1), Decimal(1))

    async def _fetch(self) -> dict[str, Instrument | None]:
        return {}

    def hear(self, frames: Sequence[bytes]) -> float:
        """The seconds of CPU that the frames take."""
        session, deliver = self.client.session, self.client._deliver
        started = time.thread_time()
        for one in frames:
            deliver(session.receive(one))
        return time.thread_time() - started

    def price(self) -> float:
        """The microseconds of one price."""
        gc.collect()
        return self.hear(self.frames * (PRICES // 2)) / PRICES * 1e6

    def end(self, count: int) -> None:
        """So many instruments end."""
        self.hear([state(name, "delivered") for name in self.names("BTC-1JAN26", count)])

    def listings(self) -> tuple[float, float]:
        """The seconds of states at once, half ends and half listings; and of as many creations with all details."""
        half = AT_ONCE // 2
        ended = [state(name, "delivered") for name in self.names("BTC-25DEC26", half)]
        listed = [state(name, "open") for name in self.names("BTC-8JAN27", half)]
        created = [
            frame(
                INSTRUMENT_CREATION,
                instrument_name=name,
                kind="option",
                state="open",
                price_index="btc_usd",
                quote_currency="BTC",
                expiration_timestamp=1_799_395_200_000,
                strike=50_000.0,
                option_type="call",
                contract_size=1.0,
                tick_size=0.0005,
            )
            for name in self.names("BTC-15JAN27", AT_ONCE)
        ]
        gc.collect()
        states = self.hear([one for pair in zip(ended, listed, strict=True) for one in pair])
        gc.collect()
        return states, self.hear(created)


def main() -> None:
    """Print the tables."""
    new, old = EndedInstruments(), EndedInstruments()
    old.end(ENDED)
    # In turn, and the least of each: other work on the machine only adds.
    rounds = [(new.price(), old.price()) for _ in range(ROUNDS)]
    before, after = (min(times) for times in zip(*rounds, strict=True))
    print("| one price | 0 ended | 100,000 ended | ratio |")
    print("| --- | --- | --- | --- |")
    print(f"| decoded, published, applied | {before:.1f} µs | {after:.1f} µs | {after / before:.2f} |")
    states, created = EndedInstruments().listings()
    print(f"\n{AT_ONCE:,} states at once: {states * 1000:.0f} ms; {AT_ONCE:,} creations: {created * 1000:.0f} ms")


if __name__ == "__main__":
    main()
