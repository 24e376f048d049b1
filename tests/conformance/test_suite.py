"""The suite of `cryptomarket conformance`: a correct server holds every row, each planted fault fails its own row."""

import contextlib
from collections.abc import Callable, Sequence

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute

from cryptomarket.conformance.checks import Finding
from cryptomarket.conformance.suite import examine
from cryptomarket.errors import CryptomarketError

from .faulty_server import HEADERS, StreamServer, frame, running

#: Long enough for some events; too short for a pause to be judged, which a busy machine makes as well.
SECONDS = 0.6


def headers(**changed: str | None) -> StreamServer:
    """A server with other headers; None leaves one out."""
    wanted = HEADERS | {name.replace("_", "-"): value for name, value in changed.items()}
    return StreamServer(headers={name: value for name, value in wanted.items() if value is not None})


def sometimes(change: Callable[[bytes], bytes]) -> Callable[[int], bytes]:
    """Change every fifth event."""
    return lambda number: frame(number) if number % 5 else change(frame(number))


FAULTS: dict[str, tuple[Callable[[], StreamServer], str]] = {
    "status": (lambda: StreamServer(status=503), "the status is 200"),
    "type": (lambda: headers(Content_Type="text/plain"), "the type is that of an event stream"),
    "charset": (
        lambda: headers(Content_Type="text/event-stream; charset=latin-1"),
        "the type is that of an event stream",
    ),
    "cached": (lambda: headers(Cache_Control="no-transform"), "no cache keeps it"),
    "transformed": (lambda: headers(Cache_Control="no-store"), "no proxy transforms it"),
    "buffered": (lambda: headers(X_Accel_Buffering=None), "nginx does not buffer it"),
    "compressed": (lambda: headers(Content_Encoding="br"), "it is not compressed"),
    "length": (lambda: headers(Transfer_Encoding=None, Content_Length="9999999"), "its length is open"),
    "slow head": (lambda: StreamServer(head_seconds=2.2), "the response begins within 2 s"),
    "no bytes": (lambda: StreamServer(opening_seconds=60), "the first bytes come within 2 s"),
    "silence": (lambda: StreamServer(silent_after=0.05), "no pause is longer than 0.5 s"),
    "break": (lambda: StreamServer(broken_after=0.3), "the transfer does not break"),
    "mark": (lambda: StreamServer(opening=b"\xef\xbb\xbfretry: 1000\n\n"), "there is no byte order mark"),
    "mark inside": (
        lambda: StreamServer(frame=sometimes(lambda sent: b"\xef\xbb\xbf: more\n" + sent)),
        "there is no byte order mark",
    ),
    "encoding": (lambda: StreamServer(frame=sometimes(lambda sent: b":\xff\n" + sent)), "it is UTF-8"),
    "line ends": (
        lambda: StreamServer(frame=sometimes(lambda sent: sent[:-2] + b"\rdata: more\n\n")),
        "lines end alike",
    ),
    "field": (
        lambda: StreamServer(frame=sometimes(lambda sent: b"number: 1\n" + sent)),
        "a browser knows every field",
    ),
    "no blank line": (
        lambda: StreamServer(frame=sometimes(lambda sent: sent[:-1])),
        "a blank line ends each event",
    ),
    "no data": (
        lambda: StreamServer(frame=sometimes(lambda sent: b"event: empty\n\n" + sent)),
        "each named event has data",
    ),
    "no retry": (lambda: StreamServer(opening=b": hello\n\n"), "it has a reconnection time"),
    "retry of words": (lambda: StreamServer(opening=b"retry: soon\n\n"), "it has a reconnection time"),
    "retry of an hour": (lambda: StreamServer(opening=b"retry: 3600000\n\n"), "it has a reconnection time"),
    "retry at once": (lambda: StreamServer(opening=b"retry: 0\n\n"), "it has a reconnection time"),
    "unsafe id": (
        lambda: StreamServer(frame=sometimes(lambda sent: sent.replace(b"id: 1-", b"id: <1-"))),
        "ids can be sent back",
    ),
    "id with NUL": (
        lambda: StreamServer(frame=sometimes(lambda sent: sent.replace(b"id: 1-", b"id: 1\0-"))),
        "ids can be sent back",
    ),
    "equal ids": (
        lambda: StreamServer(frame=lambda number: frame(number).replace(b"id: 1-%d" % number, b"id: 1-1")),
        "ids advance",
    ),
    "credentials": (
        lambda: headers(Access_Control_Allow_Origin="*", Access_Control_Allow_Credentials="true"),
        "credentials are not allowed for any origin",
    ),
    "origins": (
        lambda: headers(Access_Control_Allow_Origin="https://a.example, https://b.example"),
        "the allowed origin is one, and caches keep it apart",
    ),
    "no Vary": (
        lambda: headers(Access_Control_Allow_Origin="https://a.example", Vary=None),
        "the allowed origin is one, and caches keep it apart",
    ),
    "resume refused": (lambda: StreamServer(resume_status=503), "a resume is answered with a stream"),
    "resume from the start": (lambda: StreamServer(resume_from=lambda _: 1), "a resume repeats no event"),
    "resume from the last": (lambda: StreamServer(resume_from=lambda last: last), "a resume repeats no event"),
    "resume with a loss": (
        lambda: StreamServer(left_out=lambda last, number: number == last + 2),
        "a resume sends all that was missed",
    ),
    "one reader": (lambda: StreamServer(most_readers=1), "several readers are served at once"),
    "unequal readers": (
        lambda: StreamServer(for_reader=lambda sent, reader: sent[:-2] + b" for %d\n\n" % reader),
        "several readers get equal events",
    ),
    "HEAD fails": (lambda: StreamServer(methods={"HEAD": 500, "OPTIONS": 405}), "HEAD is answered as GET, or refused"),
    "OPTIONS fails": (lambda: StreamServer(methods={"HEAD": 405, "OPTIONS": 500}), "OPTIONS is answered"),
    "OPTIONS hangs": (lambda: StreamServer(methods={"HEAD": 200, "OPTIONS": None}), "OPTIONS is answered"),
    "wrong parameter taken": (
        lambda: StreamServer(wrong_parameter=200),
        "a wrong parameter is refused before the stream",
    ),
    "wrong parameter fails": (
        lambda: StreamServer(wrong_parameter=500),
        "a wrong parameter is refused before the stream",
    ),
    "unknown channel ends all": (
        lambda: StreamServer(some_known=422),
        "an unknown channel leaves the known ones",
    ),
    "unknown channel ignored": (lambda: StreamServer(refusal=b""), "an unknown channel leaves the known ones"),
    "unknown channels taken": (lambda: StreamServer(none_known=200), "unknown channels alone are refused"),
}  # fmt: skip


async def examined(server: StreamServer, seconds: float = SECONDS, silence: float = 60) -> list[Finding]:
    """Return the rows of a server."""
    async with running(server) as address:
        return [row async for row in examine(address, seconds, silence)]


@pytest.fixture(scope="module")
def rows() -> dict[str, list[Finding]]:
    """The rows of every faulty server, some examined at a time, as they mostly wait."""
    found: dict[str, list[Finding]] = {}

    async def all_of_them() -> None:
        limiter = anyio.CapacityLimiter(10)

        async def one(name: str) -> None:
            async with limiter:
                found[name] = await examined(FAULTS[name][0](), silence=0.5 if name == "silence" else 60)

        async with anyio.create_task_group() as tasks:
            for name in FAULTS:
                tasks.start_soon(one, name)

    anyio.run(all_of_them)
    return found


def failed(found: Sequence[Finding]) -> list[Finding]:
    return [row for row in found if row.holds is False]


async def test_a_correct_server_holds_every_row() -> None:
    """No row fails and none is skipped."""
    found = await examined(StreamServer(), seconds=2.5, silence=2)
    assert [row for row in found if not row.holds] == []
    assert len(found) > 30
    named = {row for name, (_, row) in FAULTS.items() if name != "silence"}
    assert named <= {row.row for row in found}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_fails_exactly_its_row(rows: dict[str, list[Finding]], name: str) -> None:
    """A planted fault fails the row that names it, and no other."""
    assert [row.row for row in failed(rows[name])] == [FAULTS[name][1]], failed(rows[name])


async def test_a_resume_with_the_newest_values_is_no_fault() -> None:
    """A server that keeps no events may send the newest one again."""
    server = StreamServer()
    server.resume_from = lambda _: server._newest
    found = await examined(server)
    assert failed(found) == []
    assert "a resume sends all that was missed" in {row.row for row in found if row.holds is None}


async def test_a_stream_without_ids_skips_their_rows() -> None:
    """What has no ids is not judged by them."""
    found = await examined(StreamServer(frame=lambda number: b"data: %d\n\n" % number))
    assert failed(found) == []
    assert {"ids advance", "ids can be sent back"} <= {row.row for row in found if row.holds is None}


async def test_nobody_at_the_address_is_one_sentence() -> None:
    """The error names the place, without the password and the query."""
    with pytest.raises(CryptomarketError, match=r"no server answers at http://127.0.0.1:9/sse/: ") as raised:
        _ = [row async for row in examine("http://me:secret@127.0.0.1:9/sse/?token=secret", 1)]
    assert "secret" not in str(raised.value)


async def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and says nothing ends the suite after the longest wait for a head."""
    monkeypatch.setattr("cryptomarket.conformance.reading.HEAD_SECONDS", 0.5)
    with anyio.fail_after(20):
        async with running(StreamServer(head_seconds=3600)) as address:
            with pytest.raises(CryptomarketError, match="no answer within"):
                _ = [row async for row in examine(address, 1)]


async def test_the_body_of_a_redirect_is_not_read() -> None:
    """A redirect whose body never ends is followed at once."""

    async def move(connection: ByteStream) -> None:
        async with connection:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream):
                await connection.receive()
                moved = f"HTTP/1.1 302 Found\r\nLocation: {address}\r\nTransfer-Encoding: chunked\r\n\r\n"
                await connection.send(moved.encode())
                while True:
                    await connection.send(b"5\r\nmoved\r\n")
                    await anyio.sleep(0.01)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with running(StreamServer()) as address, listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, move)
        old = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/?timer=0"
        found = [row async for row in examine(old, SECONDS)]
        tasks.cancel_scope.cancel()
    unequal = {  # the redirect has a query of its own
        "a wrong parameter is refused before the stream",
        "an unknown channel leaves the known ones",
        "unknown channels alone are refused",
    }
    assert {row.row for row in failed(found)} <= unequal
    assert len(found) > 30


async def test_numbers_without_end_are_no_error() -> None:
    """Ids and reconnection times of thousands of digits fail their rows and end nothing."""
    digits = b"1" * 5000
    found = await examined(
        StreamServer(
            opening=b"retry: " + digits + b"\n\n",
            frame=lambda number: b"id: " + digits + b"%d\nevent: price\ndata: %d\n\n" % (number, number),
            resume_status=422,  # it could not read the id
        )
    )
    assert {"it has a reconnection time", "ids can be sent back"} <= {row.row for row in failed(found)}
