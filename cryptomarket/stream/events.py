"""The events of the stream: the data of each kind of `connection` event, and their envelopes.

`encoding` writes the bytes from these; the OpenAPI document is generated from them.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ..model import GapReason, UpstreamState

__all__ = ["ConnectionEnvelope", "GapEvent", "HeartbeatEvent", "PriceEnvelope", "UpstreamEvent"]

Milliseconds = Annotated[int, Meta(description="UNIX milliseconds")]
Ages = Annotated[
    Mapping[str, Annotated[int, Meta(ge=0)]], Meta(description="milliseconds since the last tick of each ticker")
]


class UpstreamEvent(Struct, frozen=True, tag_field="kind", tag="upstream", forbid_unknown_fields=True):
    """The state of the connection to the exchange: sent on joining and on every change."""

    state: UpstreamState
    since: Milliseconds
    ages: Ages


class HeartbeatEvent(Struct, frozen=True, tag_field="kind", tag="heartbeat", forbid_unknown_fields=True):
    """Sent when nothing else was sent for 15 seconds."""

    time: Milliseconds
    ages: Ages


class GapEvent(Struct, frozen=True, tag_field="kind", tag="gap", forbid_unknown_fields=True):
    """Events are missing: those after an id that cannot be resumed, or those of a ticker that is not delivered."""

    since: Annotated[str | UnsetType | None, Meta(description="the id of the last event before the gap")] = field(
        default=UNSET, name="from"
    )
    reason: GapReason = GapReason.UNKNOWN
    ticker: str | UnsetType = UNSET


def _json_text(schema: str) -> Meta:
    content = {"contentMediaType": "application/json", "contentSchema": {"$ref": f"#/components/schemas/{schema}"}}
    return Meta(extra_json_schema=content)


class PriceEnvelope(Struct, frozen=True):
    """A price, under the name of its ticker; the id is `<epoch>-<sequence>`."""

    event: Annotated[str, Meta(extra_json_schema={"not": {"const": "connection"}})]
    data: Annotated[str, _json_text("Price")]
    id: Annotated[str, Meta(pattern="^[0-9]+-[0-9]+$")]
    retry: Annotated[int, Meta(ge=1)] | UnsetType = UNSET


class ConnectionEnvelope(Struct, frozen=True):
    """An event of the channel `connection`; it carries no id."""

    event: Literal["connection"]
    data: Annotated[str, _json_text("Connection")]
    retry: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
