"""The intake: what it takes, what it refuses and how, and what it leaves behind."""

import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from cryptography.fernet import Fernet
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from cryptomarket.persons.cache.memory import MemoryCache
from cryptomarket.persons.credential_middleware import (
    BODY_BYTES,
    CIPHERTEXT,
    KEY,
    LOGIN_PATH,
    STATE,
    CredentialMiddleware,
)
from cryptomarket.persons.limits import Limits
from cryptomarket.persons.vault import Vault
from cryptomarket.web.api.problems import problem_response

from .site import ADA, running_persons, told

SECRET = "kQ3vX9-secret-in-a-body_7Zp"


class Inner:
    """The application behind the intake: remembers what it is given."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        self.seen.append((scope.get(STATE), body))
        await JSONResponse({}, 202)(scope, receive, send)


class Counter:
    """An intake with its cache, called as a server calls it."""

    def __init__(self, *, per_minute: int = 1_000, body_seconds: float = 10.0) -> None:
        self.inner, self.cache = Inner(), MemoryCache()
        held = (Fernet.generate_key().decode(),)
        self.vault = Vault(lambda: held)
        self.limits = Limits(self.cache, per_minute=per_minute)
        self.app = CredentialMiddleware(
            self.inner,
            cache=self.cache,
            vault=self.vault,
            limits=self.limits,
            problem=problem_response,
            body_seconds=body_seconds,
        )

    async def post(self, *pieces: bytes, path: str = LOGIN_PATH, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Post the pieces of a body; status, body and headers of the answer."""
        given = {"host": "here.example", "content-type": "application/json", **headers}
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "scheme": "http",
            "server": ("here.example", 80),
            "client": ("192.0.2.1", 1),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
        }
        waiting = list(pieces)
        answer: list[Message] = []

        async def receive() -> Message:
            if not waiting:
                await anyio.sleep_forever()
            piece = waiting.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(waiting) or piece == b""}

        async def send(message: Message) -> None:
            answer.append(message)

        await self.app(scope, receive, send)
        shown = {name.decode(): value.decode() for name, value in answer[0]["headers"]}
        return answer[0]["status"], b"".join(one.get("body", b"") for one in answer[1:]), shown


def body(client_id: object = "key", client_secret: object = SECRET) -> bytes:
    """A body as pages send it."""
    return json.dumps({"client_id": client_id, "client_secret": client_secret}).encode()


async def test_the_handler_sees_only_a_name() -> None:
    """The body is gone; under the name lie ciphertext and key, apart, and the two give the secret."""
    counter = Counter()
    assert (await counter.post(body()))[0] == 202
    ((state, rest),) = counter.inner.seen
    login, _ = state
    assert rest == b""
    assert SECRET not in str(state)
    names = sorted([name async for name in counter.cache.names("deribit:login:")])
    assert names == sorted([CIPHERTEXT % login, KEY % login])
    ciphertext, key = await counter.cache.get(CIPHERTEXT % login, KEY % login)
    assert ciphertext is not None
    assert key is not None
    client_id, wrapped = json.loads(counter.vault.open(KEY % login, key))
    assert client_id == "key"
    assert SECRET.encode() not in ciphertext + key
    assert counter.vault.open_secret(ciphertext, base64.b64decode(wrapped), seconds=15) == SECRET.encode()


async def test_each_log_in_has_a_key_of_its_own() -> None:
    """The same key posted twice leaves nothing alike."""
    counter = Counter()
    for _ in range(2):
        await counter.post(body())
    names = [name async for name in counter.cache.names("deribit:login:")]
    assert len(set(await counter.cache.get(*names))) == len(names) == 4


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        (b"{", 400, "client_id"),
        (b"\xff\xfe", 400, "client_id"),
        (b"[" * 4_000, 422, "client_id"),
        (b'{"client_id":' + b"[" * 4_000, 422, "client_id"),
        (b"[]", 422, "client_id"),
        (b"{}", 422, "client_id"),
        (body(client_id=1), 422, "client_id"),
        (body(client_id=""), 422, "client_id: "),
        (body(client_id="a" * 257), 422, "client_id: "),
        (body(client_id="a\nb"), 422, "client_id: "),
        (body(client_secret=1), 422, "client_secret: "),
        (body(client_secret=None), 422, "client_secret: "),
        (body(client_secret=""), 422, "client_secret: "),
        (body(client_secret="a" * 257), 422, "client_secret: "),
        (body(client_secret='quo"te'), 422, "client_secret: "),
        (body(client_secret="with space"), 422, "client_secret: "),
        (body(client_secret="ü" * 8), 422, "client_secret: "),
        (body(client_secret="a" * BODY_BYTES), 413, "at most"),
    ],
)
async def test_a_wrong_shape_is_refused_without_an_echo(sent: bytes, status: int, says: str) -> None:
    """The problem document names what was expected and repeats nothing that was sent."""
    counter = Counter()
    got, document, headers = await counter.post(bytes(bytearray(sent)))
    assert got == status
    assert headers["content-type"] == "application/problem+json"
    assert says in json.loads(document)["detail"]
    assert b"aaaa" not in document
    assert not counter.inner.seen
    assert not [name async for name in counter.cache.names("deribit:login:")]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": "multipart/form-data; boundary=x"}, 415),
        ({"content_encoding": "gzip"}, 415),
        ({"content_length": str(BODY_BYTES + 1)}, 413),
        ({"content_length": "-1"}, 413),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://here.example.evil.example"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"origin": "http://here.example", "sec_fetch_site": "cross-site"}, 403),
    ],
)
async def test_a_wrong_head_is_refused_unread(headers: dict[str, str], status: int) -> None:
    """Forms, other sites and what is too long are answered before a byte of the body is asked for."""
    counter = Counter()
    with anyio.fail_after(60):  # without a piece to receive, reading would wait for ever
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        assert (await counter.post(**given))[0] == status


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://here.example", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"content-type": "application/json; charset=utf-8"},
    ],
)
async def test_our_own_pages_and_programs_may(headers: dict[str, str]) -> None:
    """A page of this site, and a client that is no browser, are served."""
    assert (await Counter().post(body(), **headers))[0] == 202


async def test_a_dripped_body_is_cut_in_time() -> None:
    """A body that never ends costs its seconds and nothing more."""
    counter = Counter(body_seconds=0.05)
    with anyio.fail_after(60):
        status, document, headers = await counter.post(b'{"client_id":', b"")
    assert status == 408
    assert headers["connection"] == "close"
    assert b"client" not in document


async def test_the_pieces_of_the_body_are_overwritten() -> None:
    """What the server read is no longer in memory once the answer is on its way, whether taken or refused."""
    counter = Counter()
    for sent, status in ((body(), 202), (body(client_id=""), 422)):
        pieces = [bytes(bytearray(sent[:20])), bytes(bytearray(sent[20:]))]
        assert (await counter.post(*pieces))[0] == status
        assert pieces == [bytes(20), bytes(len(sent) - 20)]


async def test_too_many_from_one_address_wait() -> None:
    """429 with the seconds to wait; another address is not concerned."""
    counter = Counter(per_minute=3)
    statuses = [(await counter.post(body()))[0] for _ in range(4)]
    assert statuses == [202, 202, 202, 429]
    _, _, headers = await counter.post(body())
    assert 1 <= int(headers["retry-after"]) <= 60
    assert await counter.limits.of_address("192.0.2.2") == 0


@pytest.mark.parametrize("path", ["/api/v1/persons/login/", "/api/v1/persons/LOGIN", "/x/api/v1/persons/login"])
async def test_only_its_own_path_is_read(path: str) -> None:
    """Every other path passes untouched: there is nothing behind it that would take a log-in."""
    counter = Counter()
    await counter.post(body(), path=path)
    assert counter.inner.seen == [(None, body())]


async def test_failures_make_the_next_try_wait(tmp_path: Path) -> None:
    """After a wrong secret the same key from the same address has to wait; the delay is said."""
    async with running_persons(tmp_path) as site:
        browser = await site.browser()
        async with browser.stream() as tab:
            await browser.log_in(ADA, "wrong")
            await told(tab, "login_failed")
            answer = await browser.log_in(ADA)
            assert answer.status_code == 429
            assert 1 <= int(answer.headers["retry-after"]) <= 2


@contextlib.asynccontextmanager
async def _raw(url: str, head: str, sent: bytes) -> AsyncIterator[bytes]:
    host, port = url.removeprefix("http://").split(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(head.encode() + sent)
        received = b""
        with anyio.move_on_after(20), contextlib.suppress(anyio.EndOfStream):
            while b"\r\n\r\n" not in received:
                received += await stream.receive()
        yield received


async def test_strange_paths_never_reach_past_the_intake(tmp_path: Path) -> None:
    """Tricks with the path or the host end at the intake or at an error, never with the body taken elsewhere."""
    async with running_persons(tmp_path) as site:
        paths = (
            "/api/v1/persons/login?x=1",
            "//api/v1/persons/login",
            "/api/v1/persons/%6cogin",
            "/api/v1/persons/login%00",
            "/api/v1/persons/../persons/login",
            "http://elsewhere.example/api/v1/persons/login",
            "/api/v1/persons/login/..%2flogin",
        )
        for number, path in enumerate(paths):
            sent = body(f"key-{number}", SECRET)
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            head += f"Content-Length: {len(sent)}\r\n\r\n"
            async with _raw(site.url, head, sent) as answer:
                status = int(answer.split(b" ", 2)[1])
                assert status in (202, 400, 404, 405, 307), (path, answer)
                assert SECRET.encode() not in answer


async def test_other_methods_are_not_taken(tmp_path: Path) -> None:
    """405 with what is allowed, whatever the method is called."""
    async with running_persons(tmp_path) as site, httpx2.AsyncClient(base_url=site.url, timeout=60) as client:
        for method in ("GET", "PUT", "DELETE", "PATCH", "FOO", "__init__"):
            assert (await client.request(method, LOGIN_PATH)).status_code in (400, 405), method
