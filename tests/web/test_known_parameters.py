"""Unknown and repeated query parameters, and reversed ranges, on every address of the site."""

import time
from pathlib import Path

import pytest

from cryptomarket.errors import InvalidParameter
from cryptomarket.query import MOST_QUERY_BYTES, check_names
from cryptomarket.web.pages.routes import PAGES

from .site import NOON, prices, running_site

#: Every address with the query of a right request, but the pages.
ADDRESSES = {
    "/healthz": "",
    "/readyz": "",
    "/openapi.json": "",
    "/api/v1/prices": "ticker=btc_usd&start=2025-11-20&end=2025-11-20&limit=5&order=asc",
    "/api/v1/prices/latest": "ticker=btc_usd&fields=quote",
    "/api/v1/prices/filter": "ticker=btc_usd&start_date=2025-11-20&end_date=2025-11-20&limit=5&order=desc",
    "/api/v1/tickers": "search=btc&limit=5",
    "/api/v1/instruments": "index=btc_usd&kind=option&expiry=2026-12-25&limit=5&cursor=BTC",
    "/api/v1/candles": "ticker=btc_usd&resolution=1m&start=2025-11-20&limit=5",
    "/api/v1/coverage": "ticker=btc_usd&start=2025-11-20&end=2025-11-20",
    "/api/v1/export.csv": "ticker=btc_usd&start=2025-11-20&end=2025-11-20&order=asc",
    "/api/v1/export.ndjson": "ticker=btc_usd",
    "/api/v1/export.parquet": "ticker=btc_usd",
    "/api/v1/status": "",
    "/udf/config": "",
    "/udf/time": "",
    "/udf/symbols": "symbol=btc_usd",
    "/udf/search": "query=btc&type=index&exchange=Deribit&limit=30",
    "/udf/history": "symbol=btc_usd&resolution=1&from=1763640000&to=1763641000&countback=5",
}


async def test_d10_every_address_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    """Each takes its own parameters, and answers 422 with the name of another or of one given twice."""
    async with running_site(tmp_path, prices("btc_usd", NOON - 600, 10)) as site:
        described = (await site.get("/openapi.json")).json()["paths"]
        assert described.keys() - ADDRESSES.keys() == {"/sse/"}
        for path, query in ADDRESSES.items():
            right = await site.client.get(f"{path}?{query}")
            assert right.status_code == 200, (path, right.text[:300])
            wrong = await site.client.get(f"{path}?{query}&nonsense=1")
            assert (wrong.status_code, wrong.json()["parameter"]) == (422, "nonsense"), path
            assert wrong.json()["type"] == "urn:cryptomarket:problem:invalid-parameter"
            if query:
                twice = await site.client.get(f"{path}?{query}&{query}")
                name = query.partition("=")[0]
                assert (twice.status_code, twice.json()["parameter"]) == (422, name), path


async def test_d10_pages_and_files_take_what_other_sites_add(tmp_path: Path) -> None:
    """Social networks add to links; files carry a cache-buster; an address that does not exist is 404 anyway."""
    async with running_site(tmp_path) as site:
        for page in PAGES:
            answer = await site.client.get(f"{page}?fbclid=IwAR0&utm_source=x&utm_source=y")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8"), page
        assert '<html lang="ru"' in (await site.client.get("/?fbclid=1&lang=ru")).text
        assert (await site.client.get("/static/site.css?v=3")).status_code == 200
        assert (await site.client.get("/favicon.ico?v=3")).status_code == 200
        assert (await site.client.get("/nowhere?v=3")).status_code == 404


async def test_a_query_that_is_too_long_is_refused_by_name_everywhere(tmp_path: Path) -> None:
    """Pages, files and unknown addresses included: each byte of a query costs work."""
    async with running_site(tmp_path) as site:
        for path in (*ADDRESSES, *PAGES, "/sse/", "/static/site.css", "/nowhere"):
            answer = await site.client.get(f"{path}?start={'T' * MOST_QUERY_BYTES}")
            assert (answer.status_code, answer.json()["parameter"]) == (422, "start"), path
            assert f"{MOST_QUERY_BYTES} bytes" in answer.json()["expected"] if path != "/sse/" else True, path


async def test_values_that_are_too_long_are_refused_with_their_limit(tmp_path: Path) -> None:
    """The problem names the parameter and how long it may be."""
    async with running_site(tmp_path) as site:
        for path, name, most in (
            ("/api/v1/prices", "ticker", 64),
            ("/api/v1/prices", "start", 40),
            ("/api/v1/prices", "end", 40),
            ("/api/v1/prices", "cursor", 40),
            ("/api/v1/prices/filter", "start_date", 40),
            ("/api/v1/prices/filter", "end_date", 40),
            ("/api/v1/coverage", "start", 40),
            ("/api/v1/export.csv", "end", 40),
            ("/api/v1/tickers", "search", 64),
            ("/api/v1/instruments", "index", 64),
            ("/api/v1/instruments", "expiry", 10),
            ("/api/v1/instruments", "cursor", 64),
            ("/udf/search", "query", 80),
            ("/sse/", "lastEventId", 128),
        ):
            query = {"ticker": "btc_usd", "start_date": "2025-11-20"} if path.startswith("/api/v1/prices") else {}
            query = {"ticker": "btc_usd"} if path in ("/api/v1/coverage", "/api/v1/export.csv") else query
            if path == "/api/v1/prices":
                del query["start_date"]
            answer = await site.get(path, **{**query, name: "T" * (most + 1)})
            problem = answer.json()
            assert (answer.status_code, problem["parameter"]) == (422, name), (path, name)
            assert problem["expected"] == f"at most {most} characters", (path, name)


async def test_d10_another_site_can_read_the_refusal(tmp_path: Path) -> None:
    """The problem has the headers of every response, those for other origins included."""
    async with running_site(tmp_path) as site:
        answer = await site.client.get(
            "/api/v1/prices?ticker=btc_usd&since=1", headers={"Origin": "https://desk.example"}
        )
    assert answer.status_code == 422
    assert "did you mean start?" in answer.json()["detail"]
    assert answer.headers["access-control-allow-origin"] == "https://desk.example"
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(
    "query",
    [
        b"&".join(b"p%d=1" % number for number in range(5_000)),
        b"&".join([b"start=1"] * 5_000),
        b"a" * 32_000 + b"=1",
        b"%41" * 10_000,
        b"&" * 32_000 + b"=",
        b"\xff\x00%ff%00",
    ],
)
def test_d10_the_work_for_a_hostile_query_is_bounded(query: bytes) -> None:
    """At most 64 characters of a name are repeated, after a few milliseconds at most."""
    started = time.perf_counter()
    with pytest.raises(InvalidParameter) as refused:
        check_names(query, ("ticker", "start", "end", "limit", "cursor", "order"))
    assert time.perf_counter() - started < 0.25
    assert len(refused.value.parameter) <= 64
    assert len(str(refused.value)) < 256


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (b"since=1", "start"),
        (b"strat=1", "start"),
        (b"Start=1", "start"),
        (b"until=1", "end"),
        (b"symbol=btc_usd", "ticker"),
        (b"foo=1", ""),
    ],
)
def test_d10_the_nearest_name_is_offered_when_one_is_close(query: bytes, says: str) -> None:
    """A slip of the finger and the word of another API both lead to ours."""
    with pytest.raises(InvalidParameter) as refused:
        check_names(query, ("ticker", "start", "end"))
    assert str(refused.value).partition("; did you mean ")[2] == (f"{says}?" if says else "")


REVERSED = {
    "/api/v1/prices": ("start", "end"),
    "/api/v1/prices/filter": ("start_date", "end_date"),
    "/api/v1/candles": ("start", "end"),
    "/api/v1/coverage": ("start", "end"),
    "/api/v1/export.csv": ("start", "end"),
    "/api/v1/export.ndjson": ("start", "end"),
    "/api/v1/export.parquet": ("start", "end"),
}


@pytest.mark.parametrize("path", REVERSED)
async def test_d10_a_reversed_range_is_refused_on_every_route(tmp_path: Path, path: str) -> None:
    """A start after the end is 422, by dates too; equal times are an empty range."""
    first, last = REVERSED[path]
    more = {"resolution": "1m"} if path.endswith("candles") else {}
    async with running_site(tmp_path, prices("btc_usd", NOON - 600, 10)) as site:
        for start, end in (("2025-11-21", "2025-11-20"), (NOON, NOON - 1), (f"{NOON}.5", NOON)):
            answer = await site.get(path, ticker="btc_usd", **{first: start, last: end}, **more)
            assert (answer.status_code, answer.json()["parameter"]) == (422, first), (start, end)
        assert (await site.get(path, ticker="btc_usd", **{first: NOON, last: NOON}, **more)).status_code == 200


async def test_d10_the_datafeed_refuses_a_reversed_range_in_its_own_form(tmp_path: Path) -> None:
    """Its clients read nothing else."""
    query = {"symbol": "btc_usd", "resolution": "1", "to": NOON - 600}
    async with running_site(tmp_path, prices("btc_usd", NOON - 600, 10)) as site:
        answer = await site.get("/udf/history", **query, **{"from": NOON})
        equal = await site.get("/udf/history", **query, **{"from": NOON - 600})
    assert answer.json() == {"s": "error", "errmsg": "from must not be after to"}
    assert equal.json()["s"] == "no_data"
