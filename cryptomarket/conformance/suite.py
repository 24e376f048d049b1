"""The suite: examines the event stream at an address, and yields a row for each thing that must hold."""

from collections.abc import AsyncIterator, Iterable, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import anyio
import httpx2

from ..errors import CryptomarketError
from .checks import (
    FOREIGN_ORIGIN,
    SILENCE_SECONDS,
    Finding,
    StreamText,
    body_rows,
    equal_rows,
    head_rows,
    origin_rows,
    resume_rows,
    skipped,
    unknown_channel_rows,
)
from .reading import HEAD_SECONDS, StreamReading, new_client, read

__all__ = ["LISTEN_SECONDS", "examine"]

LISTEN_SECONDS = 5.0
#: How long the readings after the first one last, at most.
SHORT_SECONDS = 2.0
READERS = 3
WRONG = "wrong~value"
FAILURES = (httpx2.HTTPError, OSError, TimeoutError)


async def examine(
    address: str, seconds: float = LISTEN_SECONDS, silence_seconds: float = SILENCE_SECONDS
) -> AsyncIterator[Finding]:
    """Yield the rows of the stream at the address, listening to it for some seconds.

    A longer pause than ``silence_seconds`` is a fault; it is judged when listening for as long. Everything else
    takes at most 80 seconds more, however the server behaves. Raises CryptomarketError when nobody answers.
    """
    async with new_client() as client:
        try:
            reading = await read(client, address, seconds=seconds)
        except (*FAILURES, httpx2.InvalidURL) as exc:
            raise CryptomarketError(f"no server answers at {_place(address)}: {_reason(exc)}") from exc
        yield Finding("the status is 200", reading.status == 200, str(reading.status))
        if reading.status != 200:
            return
        for row in (*head_rows(reading), *body_rows(reading, silence_seconds)):
            yield row
        short = min(seconds, SHORT_SECONDS)
        for rows in (_origin, _resume, _readers, _other_methods, _wrong_parameter, _unknown_channels):
            for row in await rows(client, address, reading, short):
                yield row


async def _origin(client: httpx2.AsyncClient, address: str, _first: StreamReading, _short: float) -> Iterable[Finding]:
    found = await _try(client, address, headers={"Origin": FOREIGN_ORIGIN})
    return (
        origin_rows(found)
        if isinstance(found, StreamReading)
        else [Finding("a foreign origin is answered", False, found)]
    )


async def _resume(client: httpx2.AsyncClient, address: str, first: StreamReading, short: float) -> Iterable[Finding]:
    resume_id = StreamText(first.body).resume_id
    if not resume_id:
        return [skipped("a resume is answered with a stream", "no event has an id")]
    found = await _try(client, address, seconds=short, headers={"Last-Event-ID": resume_id})
    if isinstance(found, StreamReading):
        return resume_rows(first, found)
    return [Finding("a resume is answered with a stream", False, found)]


async def _readers(client: httpx2.AsyncClient, address: str, first: StreamReading, short: float) -> Iterable[Finding]:
    found: list[StreamReading | str] = []

    async def one() -> None:
        found.append(await _try(client, address, seconds=short))

    async with anyio.create_task_group() as tasks:
        for _ in range(READERS):
            tasks.start_soon(one)
    readings = [one for one in found if isinstance(one, StreamReading)]
    if len(readings) < READERS:
        failed = next(one for one in found if isinstance(one, str))
        return [Finding("several readers are served at once", False, failed)]
    return equal_rows(first, readings)


async def _other_methods(
    client: httpx2.AsyncClient, address: str, first: StreamReading, _short: float
) -> Iterable[Finding]:
    head = await _try(client, address, method="HEAD")
    holds = isinstance(head, StreamReading) and (400 <= head.status < 500 or head.is_like(first))
    seen = str(head.status) if isinstance(head, StreamReading) else head
    rows = [Finding("HEAD is answered as GET, or refused", holds, seen)]
    preflight = {"Origin": FOREIGN_ORIGIN, "Access-Control-Request-Method": "GET"}
    options = await _try(client, address, method="OPTIONS", headers=preflight)
    answered = isinstance(options, StreamReading) and options.status < 500
    seen = str(options.status) if isinstance(options, StreamReading) else options
    return [*rows, Finding("OPTIONS is answered", answered, seen)]


async def _wrong_parameter(
    client: httpx2.AsyncClient, address: str, _: StreamReading, _short: float
) -> Iterable[Finding]:
    row = "a wrong parameter is refused before the stream"
    parts = urlsplit(address)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if not query:
        return [skipped(row, "the address has no parameter")]
    names = [name for name, _ in query]
    name = "timer" if "timer" in names else names[0]
    wrong = urlencode([(key, WRONG if key == name else value) for key, value in query])
    found = await _try(client, urlunsplit(parts._replace(query=wrong)))
    if isinstance(found, str):
        return [Finding(row, False, found)]
    if found.status == 200 and name != "timer":
        return [skipped(row, f"the server took {name}={WRONG}")]
    return [Finding(row, 400 <= found.status < 500, f"{name}={WRONG}: {found.status}")]


async def _unknown_channels(
    client: httpx2.AsyncClient, address: str, first: StreamReading, short: float
) -> Iterable[Finding]:
    """Check what a gateway of ours answers to a channel that it does not know."""
    beside, alone = "an unknown channel leaves the known ones", "unknown channels alone are refused"
    known = StreamText(first.body).gateway_channels
    if not known:
        why = "no stream of tickers with the channel connection"
        return [skipped(beside, why), skipped(alone, why)]
    both = await _try(client, _with_channels(address, f"{known[0]},{WRONG}"), seconds=short)
    none = await _try(client, _with_channels(address, WRONG))
    refused = isinstance(none, StreamReading) and none.status == 422
    return [
        *(
            [Finding(beside, False, both)]
            if isinstance(both, str)
            else unknown_channel_rows(beside, first, both, WRONG)
        ),
        Finding(alone, refused, none if isinstance(none, str) else str(none.status)),
    ]


def _with_channels(address: str, channels: str) -> str:
    parts = urlsplit(address)
    query = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key != "channels"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("channels", channels)])))


async def _try(
    client: httpx2.AsyncClient,
    address: str,
    *,
    seconds: float = 0,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> StreamReading | str:
    """Return a reading, or why there is none."""
    try:
        return await read(client, address, seconds=seconds, method=method, headers=headers)
    except FAILURES as exc:
        return _reason(exc)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return f"no answer within {HEAD_SECONDS:g} s"
    return str(error) or type(error).__name__


def _place(address: str) -> str:
    """The address without a password and without its query."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
