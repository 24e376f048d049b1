"""How an answer from history may be kept: for ever, not at all, or with a question first.

A closed range that is complete never changes, so any cache may keep it; a closed one with holes may still be filled,
and one without a start may begin earlier some day, so they are asked again by their ETag; an open one is new each time.
"""

from hashlib import blake2b
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["Kept", "history_answer", "next_link"]

JSON = "application/json"

FOR_EVER = "public, max-age=31536000, immutable"
ASK_FIRST = "no-cache"
NEVER = "no-store"


class Kept:
    """What may be kept of an answer."""

    def __init__(self, *, closed: bool, complete: bool) -> None:
        self.closed = closed
        self.complete = complete

    @property
    def cache_control(self) -> str:
        """The header's value."""
        if not self.closed:
            return NEVER
        return FOR_EVER if self.complete else ASK_FIRST


def history_answer(request: Request, text: str, kept: Kept, *, link: str | None = None) -> Response:
    """The JSON answer with what caches need, or 304 when the asker has it already."""
    headers = {"Cache-Control": kept.cache_control}
    if link is not None:
        headers["Link"] = link
    body = text.encode()
    if kept.closed:
        headers["ETag"] = f'"{blake2b(body, digest_size=12).hexdigest()}"'
        if _has(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=JSON)


def _has(known: str, etag: str) -> bool:
    """Whether an If-None-Match names the tag; the comparison is the weak one (RFC 9110, 13.1.2)."""
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in known.split(","))


def next_link(request: Request, cursor: str | None) -> str | None:
    """The Link header of the following page (RFC 8288), relative, with the query as it was asked."""
    if cursor is None:
        return None
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f'<{request.url.path}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'
