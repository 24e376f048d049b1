import json
import re
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from cryptomarket.web.health import Check
from cryptomarket.web.pages.routes import FRONTEND

from .site import running_site


async def test_a_page_carries_a_policy_without_inline_anything(tmp_path: Path) -> None:
    """The strict policy is on every answer, problems included, and the page obeys it."""
    async with running_site(tmp_path) as site:
        page = await site.get("/")
        missing = await site.get("/nothing/here")
    for answer in (page, missing):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "strict-origin-when-cross-origin"
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=|src=.https?://", page.text)


@pytest.mark.parametrize("path", ["/", "/history", "/status", "/docs"])
async def test_everything_a_page_loads_is_served_here(tmp_path: Path, path: str) -> None:
    """Each script, style and picture of a page answers 200 from this server; links of the page too."""
    async with running_site(tmp_path) as site:
        page = await site.get(path)
        assert page.status_code == 200
        for address in set(re.findall(r'(?:src|href|data-words|data-openapi)="(/[^"]*)"', page.text)):
            assert (await site.client.get(address)).status_code == 200, address
        assert (await site.client.get("/favicon.ico")).status_code == 200


async def test_a_tile_shows_the_price_before_any_script_runs(tmp_path: Path) -> None:
    """The page is written with the newest tick in it, and never with markup from a name."""
    async with running_site(tmp_path) as site:
        site.tick("btc_usd", "64250.13")
        page = (await site.get("/")).text
    assert '<span class="whole">64,250</span><span class="fraction">.13</span>' in page


@pytest.mark.parametrize(
    ("headers", "query", "language"),
    [
        ({}, "", "en"),
        ({"accept-language": "ru-RU,ru;q=0.9,en;q=0.8"}, "", "ru"),
        ({"accept-language": "de,en;q=0.5,ru;q=0.4"}, "", "en"),
        ({"accept-language": "ru;q=0, *;q=x,,;;"}, "", "en"),
        ({"accept-language": "ru"}, "?lang=en", "en"),
        ({"cookie": "language=ru"}, "", "ru"),
        ({"cookie": "language=xx"}, "?lang=../../etc", "en"),
    ],
)
async def test_the_page_speaks_the_language_that_is_liked_best(
    tmp_path: Path, headers: dict[str, str], query: str, language: str
) -> None:
    """The address decides, then the cookie, then the browser; English is what remains."""
    async with running_site(tmp_path) as site:
        page = await site.client.get(f"/{query}", headers=headers)
    assert page.text.startswith(f'<!doctype html>\n<html lang="{language}"')


def test_every_language_has_every_message() -> None:
    """The catalogues have the same keys, and each translation has the same placeholders."""
    folder = Path(__file__).parents[2] / "cryptomarket" / "web" / "frontend" / "messages"
    catalogues = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    assert catalogues.keys() >= {"en", "ru"}
    english = {name: set(re.findall(r"\{\w+\}", text)) for name, text in catalogues["en"].items()}
    for language, texts in catalogues.items():
        assert {name: set(re.findall(r"\{\w+\}", text)) for name, text in texts.items()} == english, language


async def test_prices_are_shared_with_exactly_the_allowed_origins(tmp_path: Path) -> None:
    """Only an allowed page may read; credentials from other sites are never accepted."""
    async with running_site(tmp_path) as site:
        allowed = await site.client.get("/api/v1/tickers", headers={"origin": "https://desk.example"})
        stranger = await site.client.get("/api/v1/tickers", headers={"origin": "https://desk.example.evil"})
        page = await site.client.get("/", headers={"origin": "https://desk.example"})
        person = await site.client.get("/api/v1/persons/me", headers={"origin": "https://desk.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://desk.example"
    assert "access-control-allow-credentials" not in allowed.headers
    for answer in (stranger, page, person):
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("checks", "status", "word"),
    [
        ({"database": Check(True, "answers"), "upstream": Check(True, "live")}, 200, "ready"),
        ({"database": Check(False, "locked", needed=False), "upstream": Check(True, "live")}, 200, "degraded"),
        ({"database": Check(True, "answers"), "upstream": Check(False, "down: refused")}, 503, "unavailable"),
    ],
)
async def test_readiness_tells_each_dependency_in_words(
    tmp_path: Path, checks: dict[str, Check], status: int, word: str
) -> None:
    """200 while it can serve, 503 when it should get no traffic, and why; it is alive in any case."""
    async with running_site(tmp_path) as site:
        site.checks = checks
        ready = await site.get("/readyz")
        alive = await site.get("/healthz")
    assert (ready.status_code, ready.json()["status"]) == (status, word)
    assert {name: entry["detail"] for name, entry in ready.json()["checks"].items()} == {
        name: check.detail for name, check in checks.items()
    }
    assert alive.status_code == 200


async def test_refusals_of_the_server_itself_are_problems_too(tmp_path: Path) -> None:
    """404, 405 and 500 have the same shape as all others, and a crash tells nothing of its cause."""

    async def broken(_: Request) -> PlainTextResponse:
        raise RuntimeError("the secret is swordfish")

    async with running_site(tmp_path, routes=[Route("/broken", broken)]) as site:
        answers = [
            await site.get("/nothing"),
            await site.client.post("/api/v1/prices"),
            await site.client.post("/"),
            await site.get("/broken"),
        ]
    assert [answer.status_code for answer in answers] == [404, 405, 405, 500]
    for answer in answers:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
        assert "content-security-policy" in answer.headers
        assert "swordfish" not in answer.text
    assert "GET" in answers[1].headers["allow"]


async def test_openapi_describes_every_route_with_its_problems(tmp_path: Path) -> None:
    """Each operation has a summary, an answer by reference and its refusals; every reference leads somewhere."""
    async with running_site(tmp_path) as site:
        document = (await site.get("/openapi.json")).json()
    assert set(document["paths"]) >= {f"/api/v1/{name}" for name in ("tickers", "prices", "prices/latest")}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert "200" in operation["responses"], path
            if operation.get("parameters"):
                assert "application/problem+json" in operation["responses"]["422"]["content"], path
    assert document["openapi"] == "3.2.0"
    text = json.dumps(document)
    for reference in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        assert reference in document["components"]["schemas"]
    assert "HTTPValidationError" not in text


async def test_others_see_no_detail_of_the_status(tmp_path: Path) -> None:
    """Who is no operator sees the state and the configured tickers: no check, no counter, and no ticker of others."""
    async with running_site(tmp_path) as site:
        site.checks = {"database": Check(False, "does not answer", needed=False, cause="prices@db.internal refused")}
        site.demand.join(frozenset({"BTC-PERPETUAL"}))
        site.tick("btc_usd", "64250.13")
        site.tick("BTC-PERPETUAL", "64251.5")
        foreign = {"X-Forwarded-For": "203.0.113.9"}
        found = (await site.client.get("/api/v1/status", headers=foreign)).json()
        own = (await site.client.get("/api/v1/status")).json()
        readiness = await site.client.get("/readyz")
    assert found.keys() == {"time", "status", "upstream"}
    assert found["upstream"].keys() == {"state", "since", "ages"}
    assert found["upstream"]["ages"].keys() == {"btc_usd"}
    assert own["upstream"]["ages"].keys() == {"btc_usd", "BTC-PERPETUAL"}
    assert own["checks"]["database"]["cause"] == "prices@db.internal refused"
    assert "db.internal" not in readiness.text


async def test_the_status_tells_health_upstream_and_counters(tmp_path: Path) -> None:
    """One answer has what the page of the state shows."""
    async with running_site(tmp_path) as site:
        site.checks = {"database": Check(False, "locked", needed=False)}
        site.tick("btc_usd", "64250.13")
        found = (await site.get("/api/v1/status")).json()
    assert found["status"] == "degraded"
    assert found["checks"]["database"] == {"ok": False, "needed": False, "detail": "locked"}
    assert found["upstream"]["ages"].keys() == {"btc_usd"}
    assert len(found["statistics"]["streams"]["age_counts"]) == len(found["age_bounds"]) + 1


async def test_of_the_front_end_only_assets_are_served(tmp_path: Path) -> None:
    """What the pages load is there; what the build and the editor need is not, nor a hidden file."""
    files = {path.relative_to(FRONTEND).as_posix() for path in FRONTEND.rglob("*") if path.is_file()}
    kept_back = {
        name for name in files if name.endswith(("ignore", "package.json", "lock.json", "config.json", "stamp"))
    }
    assert {".gitignore", "package.json", "package-lock.json", "tsconfig.json"} <= kept_back
    async with running_site(tmp_path) as site:
        for name in files:
            assert (await site.get(f"/static/{name}")).status_code == (404 if name in kept_back else 200), name
        for name in ("%2egitignore", "messages/../package.json", "messages", "", "vendor/", ".%00.js", ".js"):
            assert (await site.get(f"/static/{name}")).status_code == 404, name
        assert (await site.get("/static/swagger/swagger-ui.css")).status_code == 200
        assert (await site.get("/static/swagger/__init__.py")).status_code == 404


async def test_a_file_is_compressed_once(tmp_path: Path) -> None:
    """The same file, smaller, with its ETag; a client without gzip gets it as it is."""
    async with running_site(tmp_path) as site:
        for path in ("/static/board.js", "/static/swagger/swagger-ui-bundle.js", "/static/messages/en.json"):
            plain = await site.client.get(path, headers={"Accept-Encoding": "identity"})
            small = await site.client.get(path, headers={"Accept-Encoding": "gzip, br"})
            assert small.content == plain.content
            assert (small.headers["content-encoding"], plain.headers.get("content-encoding")) == ("gzip", None)
            assert int(small.headers["content-length"]) < int(plain.headers["content-length"]) / 2
            for name in ("etag", "content-type", "cache-control", "vary"):
                assert small.headers[name] == plain.headers[name], name
            again = await site.client.get(path, headers={"If-None-Match": small.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            head = await site.client.head(path, headers={"Accept-Encoding": "gzip"})
            assert (head.headers["content-encoding"], head.content) == ("gzip", b"")
        picture = await site.client.get("/static/swagger/favicon-32x32.png", headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in picture.headers
