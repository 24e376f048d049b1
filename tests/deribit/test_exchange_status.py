"""What the exchange announces: the words of both vocabularies, locks, and a memory that does not grow."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from cryptomarket.deribit.application_login import ApplicationLogin
from cryptomarket.deribit.channels import INSTRUMENT_CREATION, INSTRUMENT_STATE, PLATFORM_STATE
from cryptomarket.deribit.doors import DOORS
from cryptomarket.deribit.effects import Effect, ProtocolWarning
from cryptomarket.deribit.exchange_status import ExchangeStatus
from cryptomarket.deribit.instrument_states import STATES_OF_2026
from cryptomarket.deribit.rate_limit import RateLimiter
from cryptomarket.deribit.session import ExchangeSession
from cryptomarket.deribit.subscriptions import Subscriptions
from cryptomarket.model import Gap, InstrumentChanged, Tick
from cryptomarket.statements.channels import INSTRUMENT_STATES

OPTION = "BTC-25DEC26-76000-C"
STAMP = 1_790_755_218_559


def raw(data: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(data).encode())


def told(status: ExchangeStatus, state: str, name: str = OPTION) -> InstrumentChanged | None:
    return status.receive(INSTRUMENT_STATE, raw({"timestamp": 1, "state": state, "instrument_name": name}))


@pytest.mark.parametrize("state", ["created", "started", "open"])
def test_the_words_for_a_listing(state: str) -> None:
    """Of 2022 and of 2026: the instrument is listed, and does not rest."""
    status = ExchangeStatus(lambda: {OPTION})
    told(status, "settlement")
    assert told(status, state) == InstrumentChanged(OPTION, listed=True)
    assert not status.rests(OPTION)


@pytest.mark.parametrize("state", ["settled", "settlement", "inactive", "locked", "halted", "dreaming"])
def test_the_words_for_a_rest(state: str) -> None:
    """Also a word that nobody knows yet: the instrument is neither listed nor ended by it."""
    status = ExchangeStatus(lambda: {OPTION})
    assert told(status, state) is None
    assert (status.rests(OPTION), status.ended(OPTION)) == (True, False)
    assert status.reason([OPTION], authenticated=False) == f"resting at the exchange: {OPTION} ({state})"


@pytest.mark.parametrize("state", ["dreaming", "settlement"])
def test_an_unknown_word_beside_a_price_is_no_rest(state: str) -> None:
    """If the word for a listing changes again, prices go on; a known word for a rest means one also with a price."""
    talk = Talk("BTC-PERPETUAL")
    talk.state("BTC-PERPETUAL", state)
    assert talk.session.resting_reason() == f"resting at the exchange: BTC-PERPETUAL ({state})"
    talk.price("BTC-PERPETUAL", state)
    assert bool(talk.session.resting_reason()) is (state == "settlement")


@pytest.mark.parametrize("state", ["closed", "deactivated", "terminated", "delivered", "archivized"])
def test_the_words_for_an_end(state: str) -> None:
    """The instrument rests for ever, which is no reason for a state of upstream."""
    status = ExchangeStatus(lambda: {OPTION})
    assert told(status, state) == InstrumentChanged(OPTION, listed=False)
    assert (status.rests(OPTION), status.ended(OPTION)) == (True, True)
    assert status.reason([OPTION], authenticated=False) == ""


def test_every_stated_word_has_a_meaning() -> None:
    """The table has the words that the program states as the exchange's."""
    assert STATES_OF_2026.keys() == {*INSTRUMENT_STATES.value}


def test_a_creation_has_the_whole_instrument() -> None:
    """The object is the one of `public/get_instruments`."""
    whole = {
        "instrument_name": OPTION,
        "kind": "option",
        "state": "open",
        "price_index": "btc_usd",
        "quote_currency": "BTC",
        "expiration_timestamp": 1_798_185_600_000,
        "strike": 7.6e4,
        "option_type": "call",
        "contract_size": 1.0,
        "tick_size": 0.0005,
    }
    change = ExchangeStatus().receive(INSTRUMENT_CREATION, raw(whole))
    assert change is not None
    assert change.instrument is not None
    assert (change.ticker, change.listed, change.instrument.unit) == (OPTION, True, "BTC")
    assert str(change.instrument.strike) == "76000.0"
    assert ExchangeStatus().receive(INSTRUMENT_CREATION, raw({**whole, "instrument_name": "a b/../c"})) is None


# Locks


def locked(status: ExchangeStatus, index: str, on: bool = True) -> None:
    status.receive(PLATFORM_STATE, raw({"price_index": index, "locked": on}))


def index_of(ticker: str) -> str | None:
    return {"BTC-PERPETUAL": "btc_usd", OPTION: "btc_usd", "ETH-PERPETUAL": "eth_usd"}.get(ticker)


def test_a_lock_explains_the_silence_of_the_instruments_of_its_index() -> None:
    """They rest, and the reason names the lock; instruments of other indices do not rest."""
    status = ExchangeStatus(price_index=index_of)
    locked(status, "btc_usd")
    assert [status.rests(t) for t in ("btc_usd", "BTC-PERPETUAL", OPTION, "ETH-PERPETUAL")] == [True, True, True, False]
    reason = status.reason(["BTC-PERPETUAL", "ETH-PERPETUAL"], authenticated=False)
    assert reason == "locked by the exchange: btc_usd (index of BTC-PERPETUAL)"
    assert status.reason(["ETH-PERPETUAL"], authenticated=False) == ""
    locked(status, "btc_usd", on=False)
    assert not status.rests("BTC-PERPETUAL")


@pytest.mark.parametrize("ticker", ["btc_usd", "BTC-PERPETUAL"])
def test_prices_end_a_lock_whose_end_was_missed(ticker: str) -> None:
    """For their ticker alone, and not the first price: the exchange sends one when a channel is subscribed."""
    status = ExchangeStatus(price_index=index_of)
    locked(status, "btc_usd")
    status.price_received(ticker)
    assert status.rests(ticker)
    status.price_received(ticker)
    assert not status.rests(ticker)
    assert status.rests(OPTION)


# What a session makes of it


class Talk:
    """A session in the middle of its connection, and what it computes of the reason for silence."""

    def __init__(
        self,
        *configured: str,
        price_index: Callable[[str], str | None] = index_of,
        subscriptions: Subscriptions | None = None,
    ) -> None:
        self.subscriptions = subscriptions or Subscriptions(configured)
        login = ApplicationLogin(None, exchange_time=lambda: 0.0)
        self.session = ExchangeSession(
            DOORS["deribit"], self.subscriptions, login, RateLimiter(), price_index=price_index, monotonic=lambda: 0.0
        )
        self.reasons = 0
        compute = self.session.exchange_status.reason

        def counted(*args: Any, **kwargs: Any) -> str:
            self.reasons += 1
            return compute(*args, **kwargs)

        self.session.exchange_status.reason = counted  # type: ignore[method-assign]

    def hear(self, channel: str, **data: Any) -> list[Effect]:
        params = {"channel": channel, "data": {"timestamp": STAMP, **data}}
        frame = {"jsonrpc": "2.0", "method": "subscription", "params": params}
        effects = self.session.receive(json.dumps(frame))
        self.session.resting_reason()
        return effects

    def state(self, name: str, state: str) -> list[Effect]:
        return self.hear(INSTRUMENT_STATE, instrument_name=name, state=state)

    def price(self, name: str, state: str = "open") -> list[Effect]:
        return self.hear(f"ticker.{name}.100ms", instrument_name=name, mark_price=5, state=state)


def test_an_end_is_said_once() -> None:
    """The exchange has several words for one end, and the prices carry them too; a new listing is said again."""
    talk = Talk("btc_usd", OPTION)
    words = ("deactivated", "settled", "closed", "terminated")
    said = [effect for word in words for effect in talk.state(OPTION, word)]
    assert said == [InstrumentChanged(OPTION, listed=False), Gap(OPTION)]
    assert [type(effect) for effect in talk.price(OPTION, "closed")] == [Tick]
    assert talk.state(OPTION, "open") == [InstrumentChanged(OPTION, listed=True)]
    said = [*talk.price(OPTION, "closed"), *talk.state(OPTION, "terminated")]
    assert said[1:] == [InstrumentChanged(OPTION, listed=False), Gap(OPTION)]


def test_an_end_is_said_once_on_all_connections() -> None:
    """The next connection refuses the channel, and may announce a later word of the same end."""
    talk = Talk("btc_usd")
    talk.subscriptions.want([OPTION])
    assert Gap(OPTION) in talk.state(OPTION, "delivered")
    talk.session.close()
    again = Talk("btc_usd", subscriptions=talk.subscriptions)
    assert again.state(OPTION, "archivized") == [InstrumentChanged(OPTION, listed=False)]
    channel = f"ticker.{OPTION}.100ms"
    assert talk.subscriptions.answered([channel], [], 0.0) == []
    assert talk.subscriptions.refused() == [OPTION]
    talk.subscriptions.want([])
    talk.subscriptions.want([OPTION])
    assert talk.subscriptions.answered([channel], [], 0.0) == [channel]  # who asks later is told too


def test_prices_of_an_instrument_that_ended_begin_it_anew() -> None:
    """A market that was closed for a night opens: its next end is said again."""
    talk = Talk("btc_usd", OPTION)
    assert Gap(OPTION) in talk.price(OPTION, "closed")
    assert len(talk.price(OPTION, "open")) == 1
    assert Gap(OPTION) in talk.price(OPTION, "closed")


def test_five_thousand_states_at_once_leave_nothing_behind() -> None:
    """Of instruments that nobody wants no state is kept, and the reason is not computed anew for any of them."""
    talk = Talk("btc_usd", "BTC-PERPETUAL")
    talk.price("BTC-PERPETUAL")
    before, kept = talk.reasons, len(talk.session.exchange_status._resting)
    for number in range(2500):
        name = f"BTC-25DEC26-{number}-C"
        assert [type(effect) for effect in talk.state(name, "delivered")] == [InstrumentChanged]
        assert talk.state(f"{name}1", "open") == [InstrumentChanged(f"{name}1", listed=True)]
        talk.price("BTC-PERPETUAL")
    assert (talk.reasons, len(talk.session.exchange_status._resting)) == (before, kept)


def test_a_wanted_instrument_is_forgotten_with_its_last_stream() -> None:
    """While it is wanted its end is known; afterwards nothing of it is kept."""
    talk = Talk("btc_usd")
    talk.subscriptions.want([OPTION])
    talk.state(OPTION, "delivered")
    assert talk.session.exchange_status.ended(OPTION)
    talk.subscriptions.want([])
    talk.session.update_subscriptions()
    assert not talk.session.exchange_status._resting


def test_a_lock_is_understood_once_the_catalogue_is_read() -> None:
    """Locks are announced right after the start, when no instrument's index is known."""
    known: dict[str, str] = {}
    talk = Talk("BTC-PERPETUAL", price_index=known.get)
    talk.hear(PLATFORM_STATE, price_index="btc_usd", locked=True)
    assert talk.session.resting_reason() == ""
    known["BTC-PERPETUAL"] = "btc_usd"
    talk.session.check_timers()
    assert talk.session.resting_reason() == "locked by the exchange: btc_usd (index of BTC-PERPETUAL)"


@pytest.mark.parametrize(
    ("channel", "data"),
    [
        (PLATFORM_STATE, {"price_index": None, "locked": False}),
        (PLATFORM_STATE, {"maintenance": "partial"}),
        (INSTRUMENT_STATE, {"instrument_name": OPTION, "state": None}),
        (INSTRUMENT_CREATION, {"instrument_name": OPTION, "expiration_timestamp": "never"}),
    ],
)
def test_announcements_of_another_shape_end_no_connection(channel: str, data: dict[str, Any]) -> None:
    """One arrives for each of 190 indices, and for each listing of a day; prices can be read all the same."""
    talk = Talk("btc_usd")
    for _ in range(190):
        (warning,) = talk.hear(channel, **data)
        assert isinstance(warning, ProtocolWarning)
    assert len(talk.hear("deribit_price_index.btc_usd", index_name="btc_usd", price=5)) == 1
