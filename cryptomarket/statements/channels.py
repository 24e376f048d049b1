"""Subscribing, and what channels send."""

from .sources import CHANNELS, INFERRED, PROBE, SUBSCRIBE
from .statement import COINBASE_STREAMS, DERIBIT, ConfirmedBy, Statement

MARKET_DATA = (DERIBIT, COINBASE_STREAMS)

__all__ = [
    "ACCOUNT_CHANNELS_WITHOUT_LOGIN",
    "BAR_FIELDS",
    "BOOK_BEGINS_WITH",
    "BOOK_CHAINED",
    "BOOK_CHANGE_EMPTY",
    "CREATION_CHANNEL",
    "CREATION_IS_INSTRUMENT",
    "DELIVERED_TWICE",
    "DESCENDING_ORDER",
    "FAST_MARKET",
    "FIRST_TICKERS",
    "FIRST_TRADES",
    "FIRST_VALUES",
    "INCREMENTAL_BEGINS_WITH",
    "INDEX_FIELDS",
    "INDEX_SECONDS",
    "INSTRUMENT_STATES",
    "MARKPRICE_IS_LIST",
    "NONE_ACCEPTED",
    "OLD_TIMESTAMPS",
    "OPTION_FIELDS",
    "PLATFORM_STATE_FIELDS",
    "PLATFORM_STATE_FIRST",
    "PLATFORM_STATE_REASONS",
    "QUOTE_FIELDS",
    "RANKING_FIELDS",
    "RAW_REFUSED_CODE",
    "RAW_REFUSES_ALL",
    "SECOND_FIRST_MESSAGE",
    "SECOND_SUBSCRIBE_LISTED",
    "STATES_OF_2026",
    "STATISTICS_TIMESTAMP",
    "STRINGS_FOR_NUMBERS",
    "TICKER_FIELDS",
    "TRADES_ARE_LIST",
    "UNKNOWN_CHANNELS_REFUSED",
    "UNSUBSCRIBE_ALL_RESULT",
    "UNSUBSCRIBE_LISTS",
    "VOLATILITY_INDICES",
]

UNKNOWN_CHANNELS_REFUSED = Statement(
    "unknown_channels_refused",
    "A request that names an unknown channel is refused, instead of leaving the channel out of the answer: {value}.",
    False,
    source="a recording of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=MARKET_DATA,
)
NONE_ACCEPTED = Statement(
    "none_accepted",
    "When no channel of a request is known, the answer is {value}.",
    (),
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=MARKET_DATA,
)
DESCENDING_ORDER = Statement(
    "descending_order",
    "The answer to a request to subscribe is in descending order of bytes: {value}.",
    True,
    source="all recordings of 2021 to 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=MARKET_DATA,
)
RAW_REFUSED_CODE = Statement(
    "raw_refused_code",
    "A raw channel without a log-in is answered with {value}.",
    13778,
    source="a live probe of September 2026",
    confirmed_by=ConfirmedBy.PROBE,
)
RAW_REFUSES_ALL = Statement(
    "raw_refuses_all",
    "One refused raw channel fails the whole request: {value}.",
    True,
    source="a live probe of September 2026",
    confirmed_by=ConfirmedBy.PROBE,
)
FIRST_TICKERS = Statement(
    "first_tickers",
    "A ticker sends its current value as soon as it is subscribed: {value}.",
    True,
    source="recordings of 2021",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=MARKET_DATA,
)
FIRST_TRADES = Statement(
    "first_trades",
    "A channel of trades sends something before the next trade: {value}.",
    False,
    source="recordings of 2021",
    confirmed_by=ConfirmedBy.RECORDING,
)
FIRST_VALUES = Statement(
    "first_values",
    "A channel of indices, quotes or bars sends its current value as soon as it is subscribed: {value}.",
    True,
    source=INFERRED,
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=MARKET_DATA,
    others=(False,),
)
SECOND_SUBSCRIBE_LISTED = Statement(
    "second_subscribe_listed",
    "A channel that is subscribed twice is in both answers: {value}.",
    True,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=MARKET_DATA,
)
SECOND_FIRST_MESSAGE = Statement(
    "second_first_message",
    "The second of these requests brings a first message again: {value}.",
    False,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=MARKET_DATA,
)
DELIVERED_TWICE = Statement(
    "delivered_twice",
    "A channel that is subscribed twice delivers each message twice: {value}.",
    False,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=MARKET_DATA,
)
UNSUBSCRIBE_LISTS = Statement(
    "unsubscribe_lists",
    "public/unsubscribe is answered with the channels that were removed: {value}.",
    True,
    source=SUBSCRIBE,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=MARKET_DATA,
)
UNSUBSCRIBE_ALL_RESULT = Statement(
    "unsubscribe_all_result",
    "public/unsubscribe_all is answered with the text {value}.",
    "ok",
    source=SUBSCRIBE,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=MARKET_DATA,
)
ACCOUNT_CHANNELS_WITHOUT_LOGIN = Statement(
    "account_channels_without_login",
    "A channel user.* is accepted without a log-in, instead of being left out of the answer: {value}.",
    False,
    source=SUBSCRIBE,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=MARKET_DATA,
)
INDEX_FIELDS = Statement(
    "index_fields",
    "A message of deribit_price_index has the fields {value}.",
    ("index_name", "price", "timestamp"),
    source="a recording of 2022",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=MARKET_DATA,
)
INDEX_SECONDS = Statement(
    "index_seconds",
    "deribit_price_index sends a message every {value} seconds.",
    1.0,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=MARKET_DATA,
)
TICKER_FIELDS = Statement(
    "ticker_fields",
    "The ticker of a perpetual has at least the fields {value}.",
    (
        "timestamp",
        "instrument_name",
        "state",
        "stats",
        "last_price",
        "best_bid_price",
        "best_bid_amount",
        "best_ask_price",
        "best_ask_amount",
        "index_price",
        "mark_price",
        "min_price",
        "max_price",
        "estimated_delivery_price",
        "open_interest",
        "funding_8h",
        "current_funding",
        "interest_value",
    ),
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=MARKET_DATA,
)
OPTION_FIELDS = Statement(
    "option_fields",
    "The ticker of an option has beside that the fields {value}.",
    ("greeks", "mark_iv", "bid_iv", "ask_iv", "underlying_price", "underlying_index", "interest_rate"),
    source=CHANNELS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
QUOTE_FIELDS = Statement(
    "quote_fields",
    "A message of quote has the fields {value}.",
    (
        "best_ask_amount",
        "best_ask_price",
        "best_bid_amount",
        "best_bid_price",
        "instrument_name",
        "timestamp",
    ),
    source="a recording of 2022",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=MARKET_DATA,
)
BOOK_BEGINS_WITH = Statement(
    "book_begins_with",
    "The first message of a book has the type {value}.",
    "snapshot",
    source=CHANNELS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=MARKET_DATA,
)
BOOK_CHANGE_EMPTY = Statement(
    "book_change_empty",
    "A change of a book may have no change on either side: {value}.",
    False,
    source=f"{PROBE}; 279 recorded changes",
    confirmed_by=ConfirmedBy.PROBE,
    hosts=MARKET_DATA,
)
BOOK_CHAINED = Statement(
    "book_chained",
    "Each change of a book names the change before it in prev_change_id: {value}.",
    True,
    source=CHANNELS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=MARKET_DATA,
)
INCREMENTAL_BEGINS_WITH = Statement(
    "incremental_begins_with",
    "The first message of incremental_ticker has the type {value}.",
    "snapshot",
    source=CHANNELS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=MARKET_DATA,
)
TRADES_ARE_LIST = Statement(
    "trades_are_list",
    "A message of trades is a list: {value}.",
    True,
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=MARKET_DATA,
)
BAR_FIELDS = Statement(
    "bar_fields",
    "A message of chart.trades has the fields {value}.",
    ("close", "cost", "high", "low", "open", "tick", "volume"),
    source="a recording of 2022",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=MARKET_DATA,
)
RANKING_FIELDS = Statement(
    "ranking_fields",
    "Each row of deribit_price_ranking has the fields {value}.",
    ("enabled", "identifier", "original_price", "price", "timestamp", "weight"),
    source="a recording of 2022",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=MARKET_DATA,
)
STATISTICS_TIMESTAMP = Statement(
    "statistics_timestamp",
    "Price statistics have a timestamp: {value}.",
    False,
    source=CHANNELS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=MARKET_DATA,
)
FAST_MARKET = Statement(
    "fast_market",
    "Price statistics have the field fast_market instead of high_volatility: {value}.",
    False,
    source="the schema of 2026 has fast_market, its examples have high_volatility",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=MARKET_DATA,
    others=(True,),
)
VOLATILITY_INDICES = Statement(
    "volatility_indices",
    "The channel deribit_volatility_index exists for {value}.",
    ("btc_usd", "eth_usd"),
    source=CHANNELS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
STRINGS_FOR_NUMBERS = Statement(
    "strings_for_numbers",
    "A ticker may have a text where a number is expected, such as the last_price undefined: {value}.",
    False,
    source="recordings of 2020 and 2022 have such texts, later ones have none",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=MARKET_DATA,
    others=(True,),
)
STATES_OF_2026 = Statement(
    "states_of_2026",
    "The states of instruments are the words since January 2026, such as open, delivered and archivized: {value}.",
    True,
    source="the schema since 13 January 2026; nothing was recorded, and the earlier words may still occur",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=MARKET_DATA,
    others=(False,),
)
PLATFORM_STATE_FIRST = Statement(
    "platform_state_first",
    "platform_state sends the state of each index as soon as it is subscribed: {value}.",
    True,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=MARKET_DATA,
)
PLATFORM_STATE_FIELDS = Statement(
    "platform_state_fields",
    "The state of an index has at least the fields {value}.",
    ("price_index", "locked"),
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=MARKET_DATA,
)
PLATFORM_STATE_REASONS = Statement(
    "platform_state_reasons",
    "The state of an index has the field reasons: {value}.",
    True,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=MARKET_DATA,
)
INSTRUMENT_STATES = Statement(
    "instrument_states",
    "instrument.state knows the states {value}; older words may still occur.",
    ("open", "settlement", "delivered", "inactive", "locked", "halted", "archivized"),
    source="https://docs.deribit.com/subscriptions/market-data/instrumentstatekindcurrency.md, since 13 January 2026",
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=MARKET_DATA,
)
CREATION_CHANNEL = Statement(
    "creation_channel",
    "The channel instrument.creation.any.any exists: {value}.",
    True,
    source="the changelog of 6 May 2026",
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=MARKET_DATA,
)
CREATION_IS_INSTRUMENT = Statement(
    "creation_is_instrument",
    "A message of instrument.creation is the whole object of an instrument: {value}.",
    True,
    source="the changelog of 6 May 2026",
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=MARKET_DATA,
)
OLD_TIMESTAMPS = Statement(
    "old_timestamps",
    "A first message may carry the time of the last change, before the request: {value}.",
    True,
    source="recordings of 2021",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=MARKET_DATA,
)
MARKPRICE_IS_LIST = Statement(
    "markprice_is_list",
    "A message of markprice.options is a list, whose iv is a fraction: {value}.",
    True,
    source=CHANNELS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
