"""The checks, by topics. Each is a function that yields what it saw of its statements; importing them enters them."""

from . import authentication, catalogue, channel_data, channels, coinbase, connection, errors, limits, messages

__all__ = [
    "authentication",
    "catalogue",
    "channel_data",
    "channels",
    "coinbase",
    "connection",
    "errors",
    "limits",
    "messages",
]
