"""How long a response from history stays valid: the header for caches, the ETag, and the link to the next page."""

from enum import StrEnum
from hashlib import blake2b
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["CachePolicy", "history_response", "next_link"]

#: How much of If-None-Match is read: some thirty ETags of ours; a client sends one.
MOST_CHARACTERS = 1_000


class CachePolicy(StrEnum):
    """The value of `Cache-Control`."""

    #: A complete range of the past never changes.
    IMMUTABLE = "public, max-age=31536000, immutable"
    #: Missing slots of the past may still be filled; a range without a start may begin earlier after a backfill.
    #: Instruments are listed and end.
    REVALIDATE = "no-cache"
    #: A range that reaches the present changes with every slot.
    NO_STORE = "no-store"


def history_response(request: Request, text: str, policy: CachePolicy, *, link: str | None = None) -> Response:
    """A JSON response with its headers for caches, or 304 when the client's copy is current."""
    headers = {"Cache-Control": str(policy)}
    if link is not None:
        headers["Link"] = link
    body = text.encode()
    if policy is not CachePolicy.NO_STORE:
        headers["ETag"] = f'"{blake2b(body, digest_size=12).hexdigest()}"'
        if _matches(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def _matches(if_none_match: str, etag: str) -> bool:
    """Whether the header names the ETag, by the weak comparison of RFC 9110, 13.1.2."""
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in if_none_match[:MOST_CHARACTERS].split(","))


def next_link(request: Request, cursor: str | None) -> str | None:
    """The `Link` header (RFC 8288) of the next page: a relative address that repeats the query."""
    if cursor is None:
        return None
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f'<{request.url.path}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'
