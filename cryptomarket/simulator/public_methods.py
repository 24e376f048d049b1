"""The public methods about the platform: its clock, its state and what it announces."""

from typing import Any

from .dispatch import MethodCall, handler

__all__: list[str] = []


@handler("public/get_time")
def get_time(call: MethodCall) -> Any:
    """The clock of the exchange, UNIX ms."""
    return call.now_ms


@handler("public/status")
def status(call: MethodCall) -> Any:
    """Locks of the platform; ``locked`` is a string in the JSON."""
    platform = call.state.platform
    if platform.all_locked:
        return {"locked": "true"}
    if platform.locked:
        return {"locked": "partial", "locked_indices": sorted(platform.locked)}
    return {"locked": "false"}


@handler("public/get_announcements")
def get_announcements(call: MethodCall) -> Any:
    """One announcement, of long ago."""
    published = {"publication_timestamp": 1_769_508_000_000, "id": 1769508000, "important": False}
    return [published | {"title": "The simulated exchange", "body": "No real trade happens here."}]
