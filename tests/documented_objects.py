"""Whether an event is one that the OpenAPI document describes; what reads whole streams in tests asks it of each."""

import functools
from typing import Any

import jsonschema_rs

from cryptomarket.web.api.schemas import SCHEMAS
from cryptomarket.web.api.streaming import STREAM_SCHEMAS

from .eventsource import Event

__all__ = ["assert_described"]


@functools.cache
def _validator(name: str) -> Any:
    document = {"components": {"schemas": {**SCHEMAS, **STREAM_SCHEMAS}}}
    return jsonschema_rs.validator_for({**document, "$ref": f"#/components/schemas/{name}"})


def assert_described(event: Event) -> None:
    """Raise ValidationError for an event, its envelope or its data, that no reader could expect."""
    connection = event.event == "connection"
    envelope = {"event": event.event, "data": event.data, **({} if connection else {"id": event.id})}
    _validator("StreamEvent").validate(envelope)
    _validator("Connection" if connection else "Price").validate(event.json)
