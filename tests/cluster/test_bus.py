"""The local bus: order, places, and a receiver each."""

from decimal import Decimal

from cryptomarket.cluster.bus import LocalBus
from cryptomarket.model import Message, Tick, Upstream, UpstreamState


def test_ticks_get_their_place_and_every_receiver_sees_the_same() -> None:
    """A tick is stamped once; all receivers see it in the order of publishing."""
    bus = LocalBus(epoch=7)
    first: list[Message] = []
    second: list[Message] = []
    bus.subscribe(first.append)
    bus.subscribe(second.append)
    state = Upstream(UpstreamState.LIVE, 1)
    bus.publish(Tick("btc_usd", Decimal(1), 1))
    bus.publish(state)
    bus.publish(Tick("eth_usd", Decimal(2), 2))
    assert first == second
    assert [m.id if isinstance(m, Tick) else m for m in first] == ["7-1", state, "7-2"]
