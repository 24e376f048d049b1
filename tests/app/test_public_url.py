"""A gateway with a public address: hosts, origins, cookies, HSTS and redirects, over real sockets."""

from pathlib import Path

import anyio
import httpx2
import pytest

from cryptomarket.persons.session_cookies import COOKIE, SECURE_COOKIE
from tests.persons.site import ADA, running_persons

HOST = {"host": "prices.example.com"}
PUBLIC = "https://prices.example.com"
LOGIN = {"client_id": ADA.client_id, "client_secret": ADA.client_secret}
PATHS = ("/", "/sse/?channels=btc_usd", "/api/v1/tickers", "/static/site.css", "/no-such", "/api/v1/prices")
YEAR = "max-age=31536000"


async def head(url: str, *lines: str) -> bytes:
    """The head of the response to a request that is written line by line."""
    host, port = url.removeprefix("http://").split(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send("\r\n".join([*lines, "", ""]).encode())
        received = b""
        with anyio.fail_after(20):
            while b"\r\n\r\n" not in received:
                received += await stream.receive()
    return received.partition(b"\r\n\r\n")[0]


async def test_the_public_address_decides(tmp_path: Path) -> None:
    """Its host alone is served; each response has HSTS, the cookie is secure though the proxy speaks HTTP to us."""
    async with running_persons(tmp_path, public_url=PUBLIC) as site, httpx2.AsyncClient(base_url=site.url) as client:
        for path in PATHS:
            async with client.stream("GET", path, headers=HOST) as answer:
                assert answer.headers["strict-transport-security"] == YEAR
                assert answer.status_code in (200, 404, 422), path
            for wrong in ({}, {"host": "evil.example"}):
                answer = await client.get(path, headers=wrong)
                assert answer.status_code == 421, (path, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
                assert "CRYPTOMARKET_PUBLIC_URL" in answer.json()["detail"]
                assert answer.headers["strict-transport-security"] == YEAR
        for probe in ("/healthz", "/readyz", "/metrics"):
            assert (await client.get(probe)).status_code == 200
        cookie = (await client.get("/", headers=HOST)).headers["set-cookie"]
        assert cookie.startswith(f"{SECURE_COOKIE}=")
        assert cookie.endswith("; Secure")
        assert site.gateway.refusals.counts()["host"] == 2 * len(PATHS)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://prices.example.com", 202),
        ("http://prices.example.com", 403),
        ("https://prices.example.com:8443", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
async def test_a_log_in_comes_from_the_public_origin(tmp_path: Path, origin: str, status: int) -> None:
    """Scheme and port are part of it; a refusal is counted."""
    async with running_persons(tmp_path, public_url=PUBLIC) as site, httpx2.AsyncClient(base_url=site.url) as client:
        given = {**HOST, "origin": origin}
        assert (await client.post("/api/v1/persons/login", json=LOGIN, headers=given)).status_code == status
        assert (await client.delete("/api/v1/persons/me", headers=given)).status_code == (401 if status == 202 else 403)
        assert site.gateway.refusals.counts().get("origin", 0) == (0 if status == 202 else 2)


async def test_without_a_public_address_the_scheme_counts_too(tmp_path: Path) -> None:
    """A page that was loaded over TLS is not one of a site that is reached without it."""
    async with running_persons(tmp_path) as site, httpx2.AsyncClient(base_url=site.url) as client:
        for origin, status in ((site.url, 202), (site.url.replace("http:", "https:"), 403)):
            answer = await client.post("/api/v1/persons/login", json=LOGIN, headers={"origin": origin})
            assert answer.status_code == status
        assert (await client.get("/")).headers.get("strict-transport-security") is None
        assert client.cookies.get(COOKIE)


@pytest.mark.parametrize("path", ["/sse?timer=5", "/static", "/history/", "/api/v1/tickers/"])
async def test_a_redirect_names_no_host(tmp_path: Path, path: str) -> None:
    """Whatever host the request has, the browser stays where it is."""
    async with running_persons(tmp_path) as site:
        answer = await head(site.url, f"GET {path} HTTP/1.1", "Host: evil.example")
        location = next(line for line in answer.decode().splitlines() if line.lower().startswith("location: "))
        expected = {"/sse?timer=5": "/sse/?timer=5", "/static": "/static/"}.get(path, path.rstrip("/"))
        assert location.partition(": ")[2] == expected


@pytest.mark.parametrize("path", ["/", "/sse/", "/healthz"])
async def test_a_request_has_one_host(tmp_path: Path, path: str) -> None:
    """None, two, or one with other letters are refused."""
    async with running_persons(tmp_path) as site:
        for hosts in ([], ["Host: a.example", "Host: a.example"], ["Host: a.example/b"], ["Host: "]):
            answer = await head(site.url, f"GET {path} HTTP/1.1", *hosts)
            assert answer.startswith(b"HTTP/1.1 400 "), (hosts, answer)
        assert (await head(site.url, f"GET {path} HTTP/1.1", "Host: a.example")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("public_url", ["", PUBLIC])
async def test_load_balancers_probe_without_a_host(tmp_path: Path, public_url: str) -> None:
    """HTTP/1.0 has no `Host`; a page is refused without one."""
    async with running_persons(tmp_path, public_url=public_url) as site:
        for path in ("/healthz", "/readyz"):
            assert (await head(site.url, f"GET {path} HTTP/1.0")).startswith(b"HTTP/1.1 200 ")
        assert (await head(site.url, "GET / HTTP/1.0")).startswith(b"HTTP/1.1 400 ")
