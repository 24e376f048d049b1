"""The groups of fields of a price, as the OpenAPI document describes them; `cryptomarket.fields` writes them."""

from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["FundingFields", "GreeksFields", "InterestFields", "QuoteFields", "StatsFields"]

Price = Annotated[float | None, Meta(description="in the currency of `price`; null where there is none")]
Percent = Annotated[float | None, Meta(description="percent; null where there is none")]
Amount = Annotated[
    float | None,
    Meta(description="US dollars for inverse contracts, else coins; null where the exchange sends none"),
]
Greek = Annotated[float | None, Meta(description="as the exchange computes it; null where it sends none")]
Rate = Annotated[float | None, Meta(description="a fraction, not percent; null where the exchange sends none")]


class QuoteFields(Struct, frozen=True):
    """The last trade, and the best bid and ask; an empty side has no price."""

    last: Price
    bid: Price
    ask: Price
    bid_amount: Amount
    ask_amount: Amount


class StatsFields(Struct, frozen=True):
    """The last 24 hours."""

    price_change: Percent
    high: Price
    low: Price
    volume: Annotated[float | None, Meta(description="in the coin")]
    volume_usd: Annotated[float | None, Meta(description="in US dollars")]
    volume_notional: Annotated[float | None, Meta(description="in the quote currency")]


class GreeksFields(Struct, frozen=True):
    """Implied volatilities and greeks of an option."""

    mark_iv: Percent
    bid_iv: Percent
    ask_iv: Percent
    delta: Greek
    gamma: Greek
    vega: Greek
    theta: Greek
    rho: Greek


class FundingFields(Struct, frozen=True):
    """Funding rates of a perpetual: now, and over 8 hours."""

    current_funding: Rate
    funding_8h: Rate


class InterestFields(Struct, frozen=True):
    """Open interest, and the prices that the instrument follows."""

    open_interest: Amount
    index_price: Annotated[float | None, Meta(description="of the index of the instrument")]
    underlying_price: Annotated[float | None, Meta(description="options only: of the future that they are priced by")]
