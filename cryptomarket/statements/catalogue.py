"""The catalogue, and the calls for past prices."""

from .sources import MARKET_DATA, PROBE, PUBLIC_METHODS
from .statement import COINBASE_MAIN, DERIBIT, ConfirmedBy, Statement

HTTP = (DERIBIT, COINBASE_MAIN)

__all__ = [
    "ANY_EXPIRATIONS",
    "CURRENCY_FIELDS",
    "DAILY_BARS_HOUR",
    "DELIVERY_NEWEST_FIRST",
    "EVERY_INSTRUMENT",
    "EXPIRY_HOUR",
    "GET_INDEX_EXISTS",
    "INDEX_CHART_SECONDS",
    "INDEX_NAMES_ARE_LIST",
    "INDEX_NAMES_EXTENDED",
    "INDEX_PRICE_FIELDS",
    "INSTRUMENT_FIELDS",
    "MOST_BARS",
    "MOST_DELIVERIES",
    "OPTION_QUOTE_CURRENCY",
    "OWN_EXPIRATIONS",
    "PERPETUAL_EXPIRES",
    "SUMMARY_OF_ANY",
    "TICKER_BY_HTTP",
    "VOLATILITY_CONTINUES",
]

EVERY_INSTRUMENT = Statement(
    "every_instrument",
    "public/get_instruments without a parameter is answered with every instrument: {value}.",
    True,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=HTTP,
)
INSTRUMENT_FIELDS = Statement(
    "instrument_fields",
    "An instrument has at least the fields {value}.",
    (
        "instrument_name",
        "kind",
        "is_active",
        "state",
        "base_currency",
        "quote_currency",
        "settlement_period",
        "price_index",
        "creation_timestamp",
        "expiration_timestamp",
        "tick_size",
        "contract_size",
        "min_trade_amount",
        "instrument_type",
    ),
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=HTTP,
)
PERPETUAL_EXPIRES = Statement(
    "perpetual_expires",
    "The expiry of a perpetual is {value}, in the year 3000.",
    32_503_708_800_000,
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=HTTP,
)
OPTION_QUOTE_CURRENCY = Statement(
    "option_quote_currency",
    "The quote currency of an option on bitcoin that is settled in it is {value}.",
    "BTC",
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
)
EXPIRY_HOUR = Statement(
    "expiry_hour",
    "Futures and options expire at {value}:00 UTC.",
    8,
    source=PUBLIC_METHODS,
    confirmed_by=ConfirmedBy.RECORDING,
)
INDEX_NAMES_ARE_LIST = Statement(
    "index_names_are_list",
    "public/get_index_price_names is answered with a list of texts: {value}.",
    True,
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=HTTP,
)
INDEX_NAMES_EXTENDED = Statement(
    "index_names_extended",
    "With extended, each row has the fields {value}.",
    ("future_combo_creation_enabled", "name", "option_combo_creation_enabled"),
    source=PUBLIC_METHODS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
INDEX_PRICE_FIELDS = Statement(
    "index_price_fields",
    "public/get_index_price is answered with the fields {value}.",
    ("estimated_delivery_price", "index_price"),
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=HTTP,
)
GET_INDEX_EXISTS = Statement(
    "get_index_exists",
    "The method public/get_index still exists: {value}.",
    False,
    source="removed on 25 November 2025, the changelog says",
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
TICKER_BY_HTTP = Statement(
    "ticker_by_http",
    "public/ticker has the fields of the channel ticker: {value}.",
    True,
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=HTTP,
)
INDEX_CHART_SECONDS = Statement(
    "index_chart_seconds",
    "The points of get_index_chart_data over 1h are {value} seconds apart.",
    6,
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
)
DAILY_BARS_HOUR = Statement(
    "daily_bars_hour",
    "A daily bar begins at {value}:00 UTC.",
    8,
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
)
MOST_BARS = Statement(
    "most_bars",
    "One answer has at most {value} bars.",
    5000,
    source="the source of ccxt",
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
VOLATILITY_CONTINUES = Statement(
    "volatility_continues",
    "The answer of get_volatility_index_data has the field continuation: {value}.",
    True,
    source=MARKET_DATA,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
DELIVERY_NEWEST_FIRST = Statement(
    "delivery_newest_first",
    "Delivery prices begin with the newest: {value}.",
    True,
    source=MARKET_DATA,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
ANY_EXPIRATIONS = Statement(
    "any_expirations",
    "get_expirations of any currency is answered with one object of kinds, not one for each currency: {value}.",
    True,
    source="a recording",
    confirmed_by=ConfirmedBy.RECORDING,
)
OWN_EXPIRATIONS = Statement(
    "own_expirations",
    "get_expirations of one currency is answered with the currency as a key: {value}.",
    True,
    source="a recording",
    confirmed_by=ConfirmedBy.RECORDING,
)
SUMMARY_OF_ANY = Statement(
    "summary_of_any",
    "get_book_summary_by_currency accepts the currency any: {value}.",
    False,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
)
CURRENCY_FIELDS = Statement(
    "currency_fields",
    "A currency has at least the fields {value}.",
    (
        "currency",
        "currency_long",
        "coin_type",
        "min_confirmations",
        "withdrawal_fee",
        "withdrawal_priorities",
    ),
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
)
MOST_DELIVERIES = Statement(
    "most_deliveries",
    "get_delivery_prices refuses a count above {value}.",
    1000,
    source=MARKET_DATA,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
