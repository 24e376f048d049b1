"""Checks an event against the OpenAPI document; every test that reads a stream uses it."""

import functools
from typing import Any

import jsonschema_rs

from cryptomarket.conformance.eventsource import MessageEvent
from cryptomarket.web.api.openapi import schemas

__all__ = ["assert_described"]


@functools.cache
def _validator(name: str) -> Any:
    return jsonschema_rs.validator_for({"components": {"schemas": schemas()}, "$ref": f"#/components/schemas/{name}"})


def assert_described(event: MessageEvent) -> None:
    """Raise ValidationError unless the document describes the envelope and the data of the event."""
    connection = event.event == "connection"
    envelope = {"event": event.event, "data": event.data, **({} if connection else {"id": event.id})}
    _validator("StreamEvent").validate(envelope)
    _validator("Connection" if connection else "Price").validate(event.json)
