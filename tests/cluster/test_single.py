"""The cluster of one process: what only it promises. What both implementations promise is in test_cluster."""

import anyio
import pytest

from cryptomarket.cluster.single import SingleNode
from cryptomarket.errors import NoLeader
from cryptomarket.model import Message, Tick, Upstream, UpstreamState

from .messages import tick


def test_ticks_are_numbered_once_and_every_receiver_gets_the_same() -> None:
    """A tick gets its number before the first receiver; all receive in the order of publishing."""
    cluster = SingleNode(epoch=7)
    first: list[Message] = []
    second: list[Message] = []
    cluster.subscribe(first.append)
    cluster.subscribe(second.append)
    state = Upstream(UpstreamState.LIVE, 1)
    cluster.publish(tick(1))
    cluster.publish(state)
    cluster.publish(tick(2, "eth_usd"))
    assert first == second
    assert [m.id if isinstance(m, Tick) else m for m in first] == ["7-1", state, "7-2"]


async def test_a_request_without_a_handler_fails_at_once() -> None:
    """Before a handler serves, and after it stopped, a request does not wait."""

    async def echo(body: bytes) -> bytes:
        return body

    cluster = SingleNode()
    with pytest.raises(NoLeader, match="does not serve"):
        await cluster.request(b"hello", seconds=10)
    async with anyio.create_task_group() as tasks:
        await tasks.start(cluster.serve, echo)
        tasks.cancel_scope.cancel()
    with pytest.raises(NoLeader, match="does not serve"):
        await cluster.request(b"hello", seconds=10)


def test_a_single_node_counts_itself() -> None:
    """Its metrics show one node, which leads and needs no Redis."""
    statistics = SingleNode().statistics()
    assert (statistics.leads, statistics.connected, len(statistics.nodes)) == (True, True, 1)
