"""The JSON of every response, defined once: most responses are encoded from these, the OpenAPI document is generated.

Prices are encoded elsewhere, with every digit of the exchange; here they are only described. `UNSET` fields are absent.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ...history.intervals import Kind
from ...model import UpstreamState
from ..health import Check, HealthStatus
from .price_fields import FundingFields, GreeksFields, InterestFields, QuoteFields, StatsFields

__all__ = [
    "AccountResponse",
    "Balance",
    "BarsResponse",
    "CandleListResponse",
    "CandleResponse",
    "CoverageInterval",
    "CoverageResponse",
    "DatafeedExchange",
    "DatafeedResponse",
    "DatafeedType",
    "ExpectedParameter",
    "InstrumentListResponse",
    "InstrumentResponse",
    "LoginAccepted",
    "LoginBody",
    "PersonResponse",
    "PriceListResponse",
    "PriceResponse",
    "ProblemResponse",
    "SessionEntry",
    "SessionListResponse",
    "StatusResponse",
    "SymbolMatch",
    "SymbolResponse",
    "TickerEntry",
    "TickerListResponse",
    "UpstreamStatus",
]

Seconds = Annotated[int, Meta(description="UNIX seconds")]
Milliseconds = Annotated[int, Meta(description="UNIX milliseconds")]
Complete = Annotated[bool, Meta(description="whether no slot of the range that is due is missing")]
_GROUP = "instruments only, where `fields` asks for it; null when the exchange does not send it"
NextCursor = Annotated[str | None, Meta(description="the `cursor` of the next page; null on the last")]


class PriceResponse(Struct, frozen=True):
    """One price, in REST and on the stream."""

    ticker: str
    price: Annotated[float, Meta(description="the exchange's exact decimal; read it as a decimal, not as a float")]
    timestamp: Annotated[int, Meta(description="UNIX seconds: of the slot in history, else of the tick")]
    exchange_timestamp: Annotated[int, Meta(description="UNIX milliseconds, by the exchange's clock")]
    last: Annotated[float | UnsetType | None, Meta(description="instruments only: the last trade")] = UNSET
    bid: Annotated[float | UnsetType | None, Meta(description="instruments only: the best bid")] = UNSET
    ask: Annotated[float | UnsetType | None, Meta(description="instruments only: the best ask")] = UNSET
    quote: Annotated[QuoteFields | UnsetType | None, Meta(description=_GROUP)] = UNSET
    stats: Annotated[StatsFields | UnsetType | None, Meta(description=_GROUP)] = UNSET
    greeks: Annotated[GreeksFields | UnsetType | None, Meta(description=_GROUP)] = UNSET
    funding: Annotated[FundingFields | UnsetType | None, Meta(description=_GROUP)] = UNSET
    interest: Annotated[InterestFields | UnsetType | None, Meta(description=_GROUP)] = UNSET


class PriceListResponse(Struct, frozen=True):
    """A page of stored prices."""

    ticker: str
    complete: Complete
    data: Sequence[PriceResponse]
    next: NextCursor


class TickerEntry(Struct, frozen=True):
    """One ticker of the catalogue."""

    ticker: str
    kind: Literal["index", "instrument"]
    configured: Annotated[bool, Meta(description="always streamed and recorded")]


class TickerListResponse(Struct, frozen=True):
    """The tickers whose name matches."""

    complete: Annotated[bool, Meta(description="whether the list holds all matching names")]
    data: Sequence[TickerEntry]


class InstrumentResponse(Struct, frozen=True):
    """What the exchange says of one instrument; null where it says nothing."""

    ticker: str
    kind: Annotated[str | None, Meta(description="`future`, `option`, `spot`, `future_combo`, `option_combo`, ...")]
    price_index: Annotated[str | None, Meta(description="the index that it belongs to")]
    unit: Annotated[str | None, Meta(description="the currency that its prices are counted in")]
    expiry: Annotated[int | None, Meta(description="UNIX seconds; null for what never expires")]
    strike: Annotated[float | None, Meta(description="of an option")]
    option_type: Annotated[str | None, Meta(description="`call` or `put`, of an option")]
    contract_size: Annotated[
        float | None, Meta(description="one contract: of an inverse future in the unit, else in coins")
    ]
    tick_size: Annotated[float | None, Meta(description="the smallest step of its order prices, in the unit")]


class InstrumentListResponse(Struct, frozen=True):
    """A page of instruments, sorted by ticker."""

    complete: Annotated[bool, Meta(description="whether the list of the exchange was read since the start")]
    data: Sequence[InstrumentResponse]
    next: NextCursor


class CandleResponse(Struct, frozen=True):
    """One candle."""

    timestamp: Annotated[int, Meta(description="UNIX seconds, the start of the candle")]
    open: float
    high: float
    low: float
    close: float
    count: Annotated[int, Meta(description="the number of prices in it")]
    partial: Annotated[
        bool | UnsetType, Meta(description="true when it contains missing or future time, else absent")
    ] = UNSET


class CandleListResponse(Struct, frozen=True):
    """A page of candles."""

    ticker: str
    resolution: str
    complete: Complete
    data: Sequence[CandleResponse]
    next: NextCursor


class CoverageInterval(Struct, frozen=True):
    """An interval of the record."""

    start: int
    end: int
    kind: Kind
    source: Annotated[str | UnsetType, Meta(description="of a backfilled interval: where its prices come from")] = UNSET
    reason: Annotated[str | UnsetType, Meta(description="of a missing interval: why it is missing")] = UNSET


class CoverageResponse(Struct, frozen=True):
    """What is known of a range, and what is missing."""

    ticker: str
    start: int
    end: int
    complete: Annotated[bool, Meta(description="whether nothing of the range is missing")]
    intervals: Sequence[CoverageInterval]


class UpstreamStatus(Struct, frozen=True):
    """The connection to the exchange, as browsers see it."""

    state: UpstreamState
    since: Milliseconds
    ages: Annotated[
        Mapping[str, int],
        Meta(
            description="milliseconds since the last tick of each configured ticker; for operators of each followed one"
        ),
    ]
    reason: Annotated[str | UnsetType, Meta(description="for operators")] = UNSET


class StatusResponse(Struct, frozen=True):
    """The state of one node, and for operators its checks and counters."""

    time: Milliseconds
    status: HealthStatus
    upstream: UpstreamStatus
    checks: Annotated[Mapping[str, Check] | UnsetType, Meta(description="for operators")] = UNSET
    age_bounds: Annotated[
        Sequence[float] | UnsetType,
        Meta(description="for operators: upper bounds of the buckets of `age_counts` in seconds; the last has none"),
    ] = UNSET
    statistics: Annotated[
        Mapping[str, Any] | UnsetType, Meta(description="for operators: the counters of each part, by its name")
    ] = UNSET


class ExpectedParameter(Struct, frozen=True):
    """A parameter at fault."""

    parameter: str
    expected: str


class ProblemResponse(Struct, frozen=True):
    """An error response, by RFC 9457."""

    type: Annotated[str, Meta(extra_json_schema={"format": "uri"})]
    title: str
    status: int
    detail: str
    instance: Annotated[str, Meta(description="the path of the request")]
    parameter: Annotated[str | UnsetType, Meta(description="the parameter at fault")] = UNSET
    expected: Annotated[str | UnsetType, Meta(description="what was expected of it")] = UNSET
    nearest: Annotated[Sequence[str] | UnsetType, Meta(description="known names near to the requested one")] = UNSET
    errors: Annotated[Sequence[ExpectedParameter] | UnsetType, Meta(description="every parameter at fault")] = UNSET


class LoginBody(Struct, frozen=True):
    """An API key of Deribit."""

    client_id: Annotated[str, Meta(max_length=256)]
    client_secret: Annotated[str, Meta(min_length=1, max_length=256, extra_json_schema={"writeOnly": True})]


class LoginAccepted(Struct, frozen=True):
    """The login has begun; its result arrives on the stream. Without `place` that takes seconds."""

    login: Annotated[str, Meta(description="the id of this login")]
    place: Annotated[int, Meta(ge=1, description="the place among those that wait, 1 being the next")] | UnsetType = (
        UNSET
    )
    seconds: Annotated[int, Meta(ge=0, description="about how long the login waits")] | UnsetType = UNSET


class PersonResponse(Struct, frozen=True):
    """A person who is logged in."""

    person_id: str
    username: str
    email: str
    scope: Annotated[str, Meta(description="what the exchange granted: reading the account, and nothing else")]
    expires_at: Annotated[int, Meta(description="UNIX seconds; when access ends as things stand")]


class SessionEntry(Struct, frozen=True):
    """A browser in which a person is logged in."""

    id: Annotated[str, Meta(description="names the login in this list; no secret")]
    browser: Annotated[str, Meta(description="such as Firefox on Linux, the name of a program, or nothing")]
    first_seen: Seconds
    last_seen: Seconds
    current: Annotated[bool, Meta(description="whether the request comes from there")]


class SessionListResponse(Struct, frozen=True):
    """Where a person is logged in."""

    person_id: str
    sessions: Sequence[SessionEntry]


class Balance(Struct, frozen=True):
    """What a person has of one currency; null where the exchange sent no number."""

    currency: str
    equity: float | None
    balance: float | None
    available_funds: float | None


class AccountResponse(Struct, frozen=True):
    """The balances of a person."""

    person_id: str
    accounts: Sequence[Balance]


class DatafeedExchange(Struct, frozen=True):
    """An exchange of the datafeed."""

    value: str
    name: str
    desc: str


class DatafeedType(Struct, frozen=True):
    """A type of symbols."""

    name: str
    value: str


class DatafeedResponse(Struct, frozen=True):
    """What the datafeed supports."""

    supports_search: bool
    supports_group_request: bool
    supports_marks: bool
    supports_timescale_marks: bool
    supports_time: bool
    supported_resolutions: Sequence[str]
    exchanges: Sequence[DatafeedExchange]
    symbols_types: Sequence[DatafeedType]


class SymbolResponse(Struct, frozen=True):
    """The facts that a chart needs about a ticker."""

    name: str
    ticker: str
    full_name: str
    description: str
    type: str
    pricescale: int
    supported_resolutions: Sequence[str]
    session: str = "24x7"
    exchange: str = "Deribit"
    listed_exchange: str = "Deribit"
    timezone: str = "Etc/UTC"
    format: str = "price"
    minmov: int = 1
    has_intraday: bool = True
    has_daily: bool = True
    has_weekly_and_monthly: bool = False
    intraday_multipliers: Sequence[str] = ("1", "5", "15", "60", "240")
    has_empty_bars: bool = False
    visible_plots_set: str = "ohlc"
    data_status: str = "streaming"


class SymbolMatch(Struct, frozen=True):
    """One symbol that a search found."""

    symbol: str
    full_name: str
    description: str
    ticker: str
    type: str
    exchange: str = "Deribit"


class BarsResponse(Struct, frozen=True):
    """Candles as columns, or the reason why there are none."""

    s: Literal["ok", "no_data", "error"]
    t: Sequence[float] | UnsetType = UNSET
    o: Sequence[float] | UnsetType = UNSET
    h: Sequence[float] | UnsetType = UNSET
    l: Sequence[float] | UnsetType = UNSET  # noqa: E741 - the protocol's own name
    c: Sequence[float] | UnsetType = UNSET
    nextTime: Annotated[  # noqa: N815 - the protocol's own name
        int | UnsetType, Meta(description="of no_data: the time of older bars, in UNIX seconds")
    ] = UNSET
    errmsg: Annotated[str | UnsetType, Meta(description="of error: what is wrong")] = UNSET
