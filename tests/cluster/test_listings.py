"""Two nodes and one connection to the exchange: what it lists and ends is known to both at once."""

from pathlib import Path

import anyio

from cryptomarket.deribit.channels import INSTRUMENT_CREATION, INSTRUMENT_STATE
from cryptomarket.market.catalogue import Catalogue
from cryptomarket.model import Instrument, InstrumentChanged
from tests.deribit.following import QUICK, following
from tests.deribit.scripted import scripted_exchange
from tests.processes import eventually

from .test_redis_bus import Node, disconnected, nodes

OLD, NEW, BARE = "BTC-22NOV26-76000-C", "BTC-29NOV26-76000-C", "BTC-29NOV26-77000-C"
CREATED = {"instrument_name": NEW, "kind": "option", "price_index": "btc_usd", "strike": 76000.0, "state": "open"}


async def listed() -> dict[str, Instrument | None]:
    return {"btc_usd": None, OLD: Instrument(OLD, "option", "btc_usd", "BTC", None, None, "call", None, None)}


async def catalogue_of(node: Node, tasks: anyio.abc.TaskGroup) -> Catalogue:
    """The catalogue of a node, which has been read from the exchange."""
    catalogue = Catalogue(listed, configured=["btc_usd"])
    node.bus.subscribe(catalogue.on_message)
    tasks.start_soon(catalogue.run)
    await eventually(lambda: catalogue.fetched, "the catalogue is read")
    return catalogue


async def test_a_node_that_follows_hears_of_listings_and_ends(tmp_path: Path) -> None:
    """Within a moment: with all details where the exchange sends them, and also when Redis was away meanwhile."""
    async with (
        nodes(tmp_path) as (redis, (leader, follower)),
        scripted_exchange() as exchange,
        following(exchange.url, timeouts=QUICK) as client,
        anyio.create_task_group() as tasks,
    ):
        client.deribit_client._publish = leader.bus.publish
        catalogues = [await catalogue_of(node, tasks) for node in (leader, follower)]
        await eventually(lambda: INSTRUMENT_CREATION in exchange.subscribed, "creations are subscribed")
        await exchange.notify(INSTRUMENT_CREATION, CREATED)
        await exchange.notify(INSTRUMENT_STATE, {"instrument_name": OLD, "state": "delivered", "timestamp": 1})
        for catalogue in catalogues:
            await eventually(lambda c=catalogue: c.known(NEW) and not c.known(OLD), "the node knows both")  # type: ignore[misc]
            assert catalogue.price_index(NEW) == "btc_usd"
        await redis.kill()
        await disconnected(leader, follower)
        leader.bus.publish(InstrumentChanged(BARE, listed=True))
        await redis.start()
        await eventually(lambda: catalogues[1].known(BARE), "the node learns it once Redis is back", 60)
        tasks.cancel_scope.cancel()
