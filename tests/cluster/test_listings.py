"""Two nodes and one connection to the exchange: what it lists and ends is known to both at once."""

from pathlib import Path

import anyio

from cryptomarket.deribit.channels import INSTRUMENT_CREATION, INSTRUMENT_STATE
from cryptomarket.market.catalogue import DAY, PAUSE_SECONDS, Catalogue
from cryptomarket.model import Instrument, InstrumentChanged
from tests.deribit.following import QUICK, following
from tests.deribit.scripted import scripted_exchange
from tests.processes import eventually

from .test_redis_bus import Node, disconnected, nodes

OLD, NEW, BARE = "BTC-22NOV26-76000-C", "BTC-29NOV26-76000-C", "BTC-29NOV26-77000-C"
CREATED = {"instrument_name": NEW, "kind": "option", "price_index": "btc_usd", "strike": 76000.0, "state": "open"}


class ListOfExchange:
    """What the exchange lists over HTTP, and a clock by which catalogues fetch it."""

    def __init__(self) -> None:
        option = Instrument(OLD, "option", "btc_usd", "BTC", None, None, "call", None, None)
        self.listed: dict[str, Instrument | None] = {"btc_usd": None, OLD: option}
        self.now = 20_000 * DAY + 300.0

    async def fetch(self) -> dict[str, Instrument | None]:
        return dict(self.listed)

    async def catalogue_of(self, node: Node, tasks: anyio.abc.TaskGroup) -> Catalogue:
        """The catalogue of a node, which has been read once."""

        async def sleep(_: float) -> None:
            await anyio.sleep(0.02)

        catalogue = Catalogue(self.fetch, configured=["btc_usd"], wall=lambda: self.now, sleep=sleep)
        node.bus.subscribe(catalogue.on_message)
        tasks.start_soon(catalogue.run)
        await eventually(lambda: catalogue.fetched, "the catalogue is read")
        return catalogue


async def test_a_node_that_follows_hears_of_listings_and_ends(tmp_path: Path) -> None:
    """Within a moment, with all details where the exchange sends them."""
    async with (
        nodes(tmp_path) as (_, (leader, follower)),
        scripted_exchange() as exchange,
        following(exchange.url, timeouts=QUICK) as client,
        anyio.create_task_group() as tasks,
    ):
        client.deribit_client._publish = leader.bus.publish
        known = ListOfExchange()
        catalogues = [await known.catalogue_of(node, tasks) for node in (leader, follower)]
        await eventually(lambda: INSTRUMENT_CREATION in exchange.subscribed, "creations are subscribed")
        await exchange.notify(INSTRUMENT_CREATION, CREATED)
        await exchange.notify(INSTRUMENT_STATE, {"instrument_name": OLD, "state": "delivered", "timestamp": 1})
        for catalogue in catalogues:
            await eventually(lambda c=catalogue: c.known(NEW) and not c.known(OLD), "the node knows both")  # type: ignore[misc]
            assert catalogue.price_index(NEW) == "btc_usd"
        tasks.cancel_scope.cancel()


async def test_a_listing_while_redis_is_away_is_learned_afterwards(tmp_path: Path) -> None:
    """The leader keeps it for its next batch; a follower that may have missed that one fetches the list again."""
    async with nodes(tmp_path) as (redis, (leader, follower)), anyio.create_task_group() as tasks:
        known = ListOfExchange()
        catalogue = await known.catalogue_of(follower, tasks)
        await redis.kill()
        await disconnected(leader, follower)
        leader.bus.publish(change := InstrumentChanged(BARE, listed=True))
        known.listed[BARE] = None
        await leader.bus.flush()
        assert change in leader.bus._publisher._waiting
        await redis.start()
        await eventually(lambda: catalogue.known(BARE) or catalogue._missed, "the follower hears, or notices", 60)
        known.now += PAUSE_SECONDS
        await eventually(lambda: catalogue.known(BARE), "the follower knows it")
        tasks.cancel_scope.cancel()
