"""Reads an event stream as bytes, with the time at which each piece came."""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio
import httpx2

__all__ = ["HEAD_SECONDS", "StreamReading", "new_client", "read"]

#: The longest wait for the head of a response.
HEAD_SECONDS = 10.0
#: A faster stream is read up to this size.
MOST_BYTES = 8 << 20
#: What the memory of a piece takes beside its bytes.
PIECE_BYTES = 128
MOST_REDIRECTS = 20


@dataclass(frozen=True)
class StreamReading:
    """One response: its status, its headers (names in lower case) and what came of its body.

    Times are in seconds: ``head_seconds`` since the request, the others since the head. ``broken`` is what ended the
    body although it was not finished, or empty; ``listened`` is how long it was read.
    """

    status: int
    headers: list[tuple[str, str]]
    head_seconds: float
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    listened: float = 0.0
    ended: bool = False
    broken: str = ""

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    def header(self, name: str) -> str:
        """The value of a header; several values are joined by commas."""
        return ", ".join(value for key, value in self.headers if key == name)

    def is_like(self, other: "StreamReading") -> bool:
        """Whether it has the status and type of another one."""
        return (self.status, self.header("content-type")) == (other.status, other.header("content-type"))

    @property
    def longest_pause(self) -> float:
        """The longest time without a byte, in seconds."""
        times = [0.0, *(at for at, _ in self.pieces), self.listened]
        return max(after - before for before, after in itertools.pairwise(times))


def new_client() -> httpx2.AsyncClient:
    """A client that never gives up a silent stream by itself."""
    return httpx2.AsyncClient(timeout=httpx2.Timeout(HEAD_SECONDS, read=None))


async def read(
    client: httpx2.AsyncClient,
    address: str,
    *,
    seconds: float,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> StreamReading:
    """Send a request, follow redirects as a browser does, and read the body for some seconds; return what came.

    Raises httpx2.HTTPError, OSError or TimeoutError when no head comes.
    """
    sent = {"Accept": "text/event-stream", "Accept-Encoding": "identity", **(headers or {})}
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    began = time.monotonic()
    with anyio.fail_after(HEAD_SECONDS):
        response = await _follow(client, client.build_request(method, address, headers=raw))
    head = time.monotonic()
    pieces: list[tuple[float, bytes]] = []
    size, ended, broken = 0, False, ""
    try:
        with anyio.move_on_after(seconds):
            async for piece in response.aiter_raw():
                pieces.append((time.monotonic() - head, piece))
                size += len(piece) + PIECE_BYTES
                if size > MOST_BYTES:
                    break
            else:
                ended = True
    except httpx2.HTTPError as exc:
        broken = str(exc) or type(exc).__name__
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await response.aclose()
    found = [(name.lower(), value) for name, value in response.headers.multi_items()]
    return StreamReading(response.status_code, found, head - began, pieces, time.monotonic() - head, ended, broken)


async def _follow(client: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
    """The response at the end of the redirects; the library would read their bodies, which may be endless."""
    response = await client.send(request, stream=True)
    for _ in range(MOST_REDIRECTS):
        if response.next_request is None:
            break
        await response.aclose()
        response = await client.send(response.next_request, stream=True)
    return response
