"""Batches and ticks as bytes: exact to the digit, and nothing that no node wrote passes."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from cryptomarket.cluster.redis.codec import (
    Batch,
    UnreadableBatch,
    decode_batch,
    decode_tick,
    encode_batch,
    encode_tick,
)
from cryptomarket.fields import FIELD_GROUPS
from cryptomarket.model import (
    Gap,
    Instrument,
    InstrumentChanged,
    LoginsWaiting,
    Message,
    SessionChanged,
    Tick,
    Upstream,
    UpstreamState,
    WaitingLogin,
    plain,
)

prices = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9)


def _group(names: tuple[str, ...]) -> st.SearchStrategy[str | None]:
    """The values of a group of fields, or None."""
    value = st.just("null") | prices.map(plain)
    return st.none() | st.lists(value, min_size=len(names), max_size=len(names)).map(",".join)


ticks = st.builds(
    Tick,
    ticker=st.text(max_size=12),
    price=prices,
    exchange_timestamp=st.integers(min_value=0, max_value=2**53),
    last=st.none() | prices,
    bid=st.none() | prices,
    ask=st.none() | prices,
    epoch=st.integers(min_value=0, max_value=2**31),
    sequence=st.integers(min_value=0, max_value=2**53),
    after=st.tuples(st.integers(0, 2**31), st.integers(0, 2**53)),
    fields=st.just(()) | st.tuples(*map(_group, FIELD_GROUPS.values())),
)
upstreams = st.builds(Upstream, st.sampled_from(UpstreamState), st.integers(0, 2**53), st.text(max_size=20))
notifications = st.builds(
    SessionChanged, st.lists(st.text(max_size=8), max_size=3).map(tuple), st.text(max_size=8), st.text(max_size=20)
)
waiting = st.builds(
    WaitingLogin, st.text(max_size=8), st.text(max_size=8), st.integers(1, 999), st.integers(0, 99), st.floats(0, 99)
)
queues = st.builds(LoginsWaiting, st.lists(waiting, max_size=3).map(tuple))
words = st.text(max_size=8)
numbers = st.none() | prices


@st.composite
def changes(draw: st.DrawFn) -> InstrumentChanged:
    ticker = draw(words)
    instrument = st.builds(
        Instrument,
        st.just(ticker),
        words,
        words,
        words,
        st.none() | st.integers(0, 2**53),
        numbers,
        words,
        numbers,
        numbers,
    )
    return InstrumentChanged(ticker, draw(st.booleans()), draw(st.none() | instrument))


messages = ticks | upstreams | notifications | queues | changes() | st.builds(Gap, st.text(max_size=12))


@given(
    st.lists(messages, max_size=8),
    st.integers(0, 2**31),
    st.dictionaries(st.text(max_size=8), st.integers(0, 99), max_size=3),
)
def test_a_decoded_batch_equals_the_encoded_one(published: list[Message], epoch: int, wanted: dict[str, int]) -> None:
    """Every message in order, with every digit of its price."""
    batch = Batch("node", 5, epoch, 7, wanted, published, tuple(wanted))
    assert decode_batch(encode_batch(batch)) == batch
    for message in published:
        if isinstance(message, Tick):
            assert str(decode_tick(encode_tick(message)).price) == format(message.price, "f")


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    """Any bytes either decode or raise UnreadableBatch."""
    for decode in (decode_batch, decode_tick):
        with contextlib.suppress(UnreadableBatch):
            decode(data)


def test_the_bytes_of_a_batch_stay_the_same() -> None:
    """Nodes of two versions share one Redis during an upgrade."""
    published: list[Message] = [
        Upstream(UpstreamState.LIVE, 5, "why"),
        Gap("x"),
        SessionChanged(("s",), "person", "r"),
        LoginsWaiting((WaitingLogin("l", "s", 8, 2, 14.5),)),
    ]
    assert encode_batch(Batch("n", 1, 2, 3, {"sol_usd": 4}, published, ("n",))) == (
        b'["n",1,2,3,{"sol_usd":4},[["u","live",5,"why"],["g","x","refused"],["n",["s"],"person","r"],'
        b'["w",[["l","s",8,2,14.5]]]],["n"]]'
    )
