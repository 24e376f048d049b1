"""The credential middleware: what it accepts, what it refuses, and what it leaves in memory and in the cache."""

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
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from cryptomarket.deribit.auth import private_key
from cryptomarket.persons.cache.memory import MemoryCache
from cryptomarket.persons.credential_middleware import (
    BODIES_PER_ADDRESS,
    BODY_BYTES,
    KEY_PAIR,
    LOGIN_PATH,
    STATE,
    CredentialMiddleware,
)
from cryptomarket.persons.limits import LoginLimits
from cryptomarket.persons.login_secrets import CIPHERTEXT, KEY, LoginSecrets
from cryptomarket.persons.vault import Vault
from cryptomarket.public_site import ANY_SITE
from cryptomarket.simulator.coinbase_keys import new_key_pair
from cryptomarket.web.api.problems import problem_response

from .site import ADA, connection_event, running_persons

SECRET = "kQ3vX9-secret-in-a-body_7Zp"


class RecordingApp:
    """The application behind the middleware: records the state and the body of each request."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        self.seen.append((scope.get(STATE), body))
        await JSONResponse({}, 202)(scope, receive, send)


class MiddlewareSetup:
    """A middleware with its cache, called as a server calls it."""

    def __init__(self, *, per_minute: int = 1_000, body_seconds: float = 10.0) -> None:
        self.inner, self.cache = RecordingApp(), MemoryCache()
        keys = (Fernet.generate_key().decode(),)
        self.vault = Vault(lambda: keys)
        self.limits = LoginLimits(self.cache, self.vault.keyring.sign, per_minute=per_minute)
        self.app = CredentialMiddleware(
            self.inner,
            login_secrets=LoginSecrets(self.cache, self.vault),
            limits=self.limits,
            problem=problem_response,
            same_site=ANY_SITE.same_site,
            body_seconds=body_seconds,
        )

    async def post(
        self, *chunks: bytes, path: str = LOGIN_PATH, address: str = "192.0.2.1", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Post a body in chunks; return status, body and headers of the response."""
        given = {"host": "here.example", "content-type": "application/json", **headers}
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "scheme": "http",
            "server": ("here.example", 80),
            "client": (address, 1),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
        }
        waiting = list(chunks)
        sent: list[Message] = []

        async def receive() -> Message:
            if not waiting:
                await anyio.sleep_forever()
            chunk = waiting.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(waiting) or chunk == b""}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        shown = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:]), shown


def body(client_id: object = "key", client_secret: object = SECRET) -> bytes:
    """The body that a page sends."""
    return json.dumps({"client_id": client_id, "client_secret": client_secret}).encode()


async def test_the_route_receives_only_a_login_id() -> None:
    """Under the id the cache has ciphertext and key apart, which together open to the secret."""
    setup = MiddlewareSetup()
    assert (await setup.post(body()))[0] == 202
    ((state, rest),) = setup.inner.seen
    login = state.login_id
    assert rest == b""
    assert SECRET not in str(state)
    names = sorted([name async for name in setup.cache.names("deribit:login:")])
    assert names == sorted([CIPHERTEXT % login, KEY % login])
    ciphertext, key = await setup.cache.get(CIPHERTEXT % login, KEY % login)
    assert ciphertext is not None
    assert key is not None
    client_id, wrapped = json.loads(setup.vault.open(KEY % login, key))
    assert client_id == "key"
    assert SECRET.encode() not in ciphertext + key
    assert setup.vault.open_secret(ciphertext, base64.b64decode(wrapped), seconds=15) == SECRET.encode()


@pytest.mark.parametrize("breaks", ["\n", "\r\n", ""])
async def test_an_ed25519_private_key_is_taken(breaks: str) -> None:
    """With its line breaks, which JSON escapes, and without, as a password field of a browser leaves it."""
    setup, pem = MiddlewareSetup(), new_key_pair().private
    assert (await setup.post(body(client_secret=pem.replace("\n", breaks))))[0] == 202
    ((state, _rest),) = setup.inner.seen
    _client_id, key = await LoginSecrets(setup.cache, setup.vault).take(state.login_id) or ("", bytearray())
    assert private_key(key).public_key() == private_key(pem.encode()).public_key()


RSA_KEY = rsa.generate_private_key(65537, 1024).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


@pytest.mark.parametrize(
    "pem",
    [
        RSA_KEY.decode(),
        RSA_KEY.decode()[:256],
        new_key_pair("ES256").private,
        new_key_pair().private[:80],
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----",
    ],
    ids=["short RSA", "cut RSA", "of a curve", "cut", "with a password"],
)
async def test_another_private_key_is_refused_with_what_is_taken(pem: str) -> None:
    """No part of the key is repeated, and nothing is stored."""
    setup = MiddlewareSetup()
    status, document, _ = await setup.post(body(client_secret=pem))
    assert status == 422
    assert json.loads(document)["detail"].endswith(KEY_PAIR)
    assert not [name async for name in setup.cache.names("deribit:login:")]


async def test_each_login_has_a_key_of_its_own() -> None:
    """The same credentials posted twice leave four different values."""
    setup = MiddlewareSetup()
    for _ in range(2):
        await setup.post(body())
    names = [name async for name in setup.cache.names("deribit:login:")]
    assert len(set(await setup.cache.get(*names))) == len(names) == 4


@pytest.mark.parametrize(
    ("sent", "status", "detail"),
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
async def test_a_wrong_shape_is_refused_without_an_echo(sent: bytes, status: int, detail: str) -> None:
    """The problem document names what was expected and repeats no part of the body."""
    setup = MiddlewareSetup()
    got, document, headers = await setup.post(bytes(bytearray(sent)))
    assert got == status
    assert headers["content-type"] == "application/problem+json"
    assert detail in json.loads(document)["detail"]
    assert b"aaaa" not in document
    assert not setup.inner.seen
    assert not [name async for name in setup.cache.names("deribit:login:")]


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
async def test_a_wrong_head_is_refused_before_the_body(headers: dict[str, str], status: int) -> None:
    """Forms, requests of other sites and long bodies are refused without a read of the body."""
    setup = MiddlewareSetup()
    with anyio.fail_after(60):  # a read would wait for ever: there is no chunk
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        assert (await setup.post(**given))[0] == status


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://here.example", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"content-type": "application/json; charset=utf-8"},
    ],
)
async def test_pages_of_this_site_and_programs_may_log_in(headers: dict[str, str]) -> None:
    """A page of this site and a client that is not a browser are accepted."""
    assert (await MiddlewareSetup().post(body(), **headers))[0] == 202


async def test_a_dripped_body_is_cut_in_time() -> None:
    """A body that does not end in time is refused, and the connection is closed."""
    setup = MiddlewareSetup(body_seconds=0.05)
    with anyio.fail_after(60):
        status, document, headers = await setup.post(b'{"client_id":', b"")
    assert status == 408
    assert headers["connection"] == "close"
    assert b"client" not in document


async def test_slow_bodies_keep_places_of_their_own_address_only() -> None:
    """While four of one address trickle in, a fifth gets 429; another address logs in, and so does this one later."""
    setup, statuses = MiddlewareSetup(body_seconds=0.5), list[int]()

    async def trickle() -> None:
        statuses.append((await setup.post(b'{"client_id":', b""))[0])

    async with anyio.create_task_group() as tasks:
        for _ in range(BODIES_PER_ADDRESS):
            tasks.start_soon(trickle)
        await anyio.wait_all_tasks_blocked()
        status, _, headers = await setup.post(body())
        assert (status, headers["retry-after"]) == (429, "1")
        assert (await setup.post(body(), address="192.0.2.2"))[0] == 202
    assert statuses == [408] * BODIES_PER_ADDRESS
    assert (await setup.post(body()))[0] == 202
    assert len(setup.app._reading) == 0


async def test_the_chunks_of_the_body_are_overwritten() -> None:
    """The server's copy of the body is zeros when the response is sent, whether the login is accepted or refused."""
    setup = MiddlewareSetup()
    for sent, status in ((body(), 202), (body(client_id=""), 422)):
        chunks = [bytes(bytearray(sent[:20])), bytes(bytearray(sent[20:]))]
        assert (await setup.post(*chunks))[0] == status
        assert chunks == [bytes(20), bytes(len(sent) - 20)]


async def test_too_many_logins_from_one_address_wait() -> None:
    """They get 429 with the seconds to wait; another address does not."""
    setup = MiddlewareSetup(per_minute=3)
    statuses = [(await setup.post(body()))[0] for _ in range(4)]
    assert statuses == [202, 202, 202, 429]
    _, _, headers = await setup.post(body())
    assert 1 <= int(headers["retry-after"]) <= 60
    assert await setup.limits.count_login("192.0.2.2") == 0


@pytest.mark.parametrize("path", ["/api/v1/persons/login/", "/api/v1/persons/LOGIN", "/x/api/v1/persons/login"])
async def test_only_the_login_path_is_read(path: str) -> None:
    """Every other path passes unchanged: no route behind it accepts a login."""
    setup = MiddlewareSetup()
    await setup.post(body(), path=path)
    assert setup.inner.seen == [(None, body())]


async def test_a_failure_delays_the_next_login(tmp_path: Path) -> None:
    """After a wrong secret the same key from the same address gets 429 with the seconds to wait."""
    async with running_persons(tmp_path) as site:
        browser = await site.browser()
        async with browser.stream() as tab:
            await browser.log_in(ADA, "wrong")
            await connection_event(tab, "login_failed")
            response = await browser.log_in(ADA)
            assert response.status_code == 429
            assert 1 <= int(response.headers["retry-after"]) <= 2


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


async def test_strange_paths_do_not_bypass_the_middleware(tmp_path: Path) -> None:
    """Tricks with path or host end in the middleware or in an error, and no response contains the secret."""
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
            async with _raw(site.url, head, sent) as response:
                status = int(response.split(b" ", 2)[1])
                assert status in (202, 400, 404, 405, 422, 307), (path, response)
                assert SECRET.encode() not in response


async def test_other_methods_are_refused(tmp_path: Path) -> None:
    """They get 405, or 400 for a method that HTTP does not know."""
    async with running_persons(tmp_path) as site, httpx2.AsyncClient(base_url=site.url, timeout=60) as client:
        for method in ("GET", "PUT", "DELETE", "PATCH", "FOO", "__init__"):
            assert (await client.request(method, LOGIN_PATH)).status_code in (400, 405), method
