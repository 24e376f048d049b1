import csv
import gc
import io
import json
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from cryptomarket.history.pages import PageQuery
from cryptomarket.model import Price
from cryptomarket.web.api import exports
from tests.databases import StoredHistory

from .site import NOON, prices, running_site

DIGITS = ["64250.1300", "0.00000001", "123456789012345678", "8700", "12345678.123456789"]


def exact() -> list[Price]:
    """Prices with all kinds of digits, one a slot."""
    return [Price("btc_usd", NOON + 60 * n, Decimal(d), (NOON + 60 * n) * 1000, epoch=1) for n, d in enumerate(DIGITS)]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_csv_has_every_price_once_with_every_digit(
    tmp_path: Path, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header, then the range in the requested order, over any number of pages."""
    monkeypatch.setattr(exports, "PAGE_ROWS", 2)
    async with running_site(tmp_path, exact()) as site:
        answer = await site.get("/api/v1/export.csv", ticker="btc_usd", order=order)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'attachment; filename="btc_usd.csv"'
    assert answer.headers["x-history-complete"] == "true"
    header, *rows = csv.reader(io.StringIO(answer.text))
    assert header == ["ticker", "timestamp", "price", "exchange_timestamp", "source"]
    expected = [["btc_usd", str(NOON + 60 * n), d, f"{NOON + 60 * n}000", "live"] for n, d in enumerate(DIGITS)]
    assert rows == (expected if order == "asc" else expected[::-1])


async def test_ndjson_has_the_shape_of_every_other_answer(tmp_path: Path) -> None:
    """Each line is the price as the list would write it."""
    async with running_site(tmp_path, exact()) as site:
        lines = (await site.get("/api/v1/export.ndjson", ticker="btc_usd", start=NOON + 60)).text.splitlines()
        page = (await site.get("/api/v1/prices", ticker="btc_usd", start=NOON + 60)).text
    assert lines == [price.json() for price in exact()[1:]]
    assert ",".join(lines) in page


async def test_parquet_keeps_decimals_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices are decimals and moments are timestamps; several pages are one file."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    monkeypatch.setattr(exports, "PAGE_ROWS", 2)
    async with running_site(tmp_path, exact()) as site:
        answer = await site.get("/api/v1/export.parquet", ticker="btc_usd")
    table = parquet.read_table(io.BytesIO(answer.content))
    assert table["price"].to_pylist() == [Decimal(digits) for digits in DIGITS]
    assert [int(moment.timestamp()) for moment in table["timestamp"].to_pylist()] == [NOON + 60 * n for n in range(5)]
    assert table["ticker"].to_pylist() == ["btc_usd"] * 5


async def test_an_empty_range_is_a_file_without_prices(tmp_path: Path) -> None:
    """Nothing stored is a header alone, and not complete."""
    async with running_site(tmp_path) as site:
        answer = await site.get("/api/v1/export.csv", ticker="btc_usd")
        lines = await site.get("/api/v1/export.ndjson", ticker="btc_usd")
    assert answer.text == "ticker,timestamp,price,exchange_timestamp,source\n"
    assert lines.text == ""
    assert answer.headers["x-history-complete"] == "false"


async def test_a_slow_export_pins_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many readers that stopped in the midst of an export leave the pool to others."""
    monkeypatch.setattr(exports, "PAGE_ROWS", 500)
    async with running_site(tmp_path, prices("btc_usd", NOON, 5_000)) as site:
        slow = [await site.client.send(site.client.build_request("GET", CSV), stream=True) for _ in range(12)]
        assert (await site.get("/api/v1/prices", ticker="btc_usd", limit=1)).status_code == 200
        for answer in slow:
            assert len((await answer.aread()).splitlines()) == 5_001
            await answer.aclose()


CSV = "/api/v1/export.csv?ticker=btc_usd"


@pytest.mark.parametrize("ending", ["csv", "ndjson"])
@pytest.mark.parametrize(
    ("query", "status", "parameter"),
    [
        ({}, 422, "ticker"),
        ({"ticker": "nosuch"}, 404, "ticker"),
        ({"ticker": "btc_usd", "start": "soon"}, 422, "start"),
        ({"ticker": "btc_usd", "start": "2025-02-01", "end": "2025-01-01"}, 422, "start"),
        ({"ticker": "btc_usd", "order": "up"}, 422, "order"),
    ],
)
async def test_a_wrong_question_is_a_problem_that_names_it(
    tmp_path: Path, ending: str, query: dict[str, str], status: int, parameter: str
) -> None:
    """No file begins before the question is known to be right."""
    async with running_site(tmp_path) as site:
        answer = await site.get(f"/api/v1/export.{ending}", **query)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["parameter"] == parameter


async def test_a_closed_complete_range_may_be_kept_for_ever(tmp_path: Path) -> None:
    """It carries an ETag, and who has it already gets 304 without a body."""
    async with running_site(tmp_path, prices("btc_usd", NOON, 10)) as site:
        site.now = NOON + 3600
        query: dict[str, str | int] = {"ticker": "btc_usd", "start": NOON, "end": NOON + 600}
        first = await site.get("/api/v1/prices", **query)
        again = await site.client.get(
            "/api/v1/prices", params=query, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'}
        )
        other = await site.client.get("/api/v1/prices", params=query, headers={"If-None-Match": '"other"'})
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert other.status_code == 200


async def test_a_range_that_may_change_is_not_kept(tmp_path: Path) -> None:
    """A settled range that may still change is revalidated by its ETag; an open range is never cached."""
    stored = prices("btc_usd", NOON, 10)
    del stored[3]
    async with running_site(tmp_path, stored) as site:
        site.now = NOON + 3600
        with_hole = await site.get("/api/v1/prices", ticker="btc_usd", start=NOON, end=NOON + 600)
        still_open = await site.get("/api/v1/prices", ticker="btc_usd", start=NOON)
        without_start = await site.get("/api/v1/prices", ticker="btc_usd", end=NOON + 180)
    assert with_hole.headers["cache-control"] == "no-cache"
    assert "etag" in with_hole.headers
    assert still_open.headers["cache-control"] == "no-store"
    assert "etag" not in still_open.headers
    assert without_start.json()["complete"]
    assert without_start.headers["cache-control"] == "no-cache"


async def test_a_page_links_to_the_next(tmp_path: Path) -> None:
    """Following the Link header returns the whole range with the same query."""
    async with running_site(tmp_path, prices("btc_usd", NOON, 10)) as site:
        address: str | None = f"/api/v1/prices?ticker=btc_usd&limit=4&start={NOON}"
        seen: list[int] = []
        while address:
            answer = await site.client.get(address)
            seen += [price["timestamp"] for price in json.loads(answer.text)["data"]]
            address = answer.links.get("next", {}).get("url")
    assert seen == [NOON + 60 * n for n in range(10)]


async def test_an_aborted_export_leaves_its_read_to_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Clients that leave within an export break no connection of the pool, which the log would tell."""
    stored = [Price("btc_usd", 60 * n, Decimal(1), 60_000 * n, epoch=1) for n in range(20_000)]
    sizes: list[int] = []
    async with StoredHistory(f"sqlite+aiosqlite:///{tmp_path / 'x.db'}") as store:
        await store.migrate()
        await store.insert_missing(stored)
        export = exports.Export(store.database, PageQuery("btc_usd", limit=5_000), complete=True)

        async def download() -> None:
            async for page in export.text("csv"):
                sizes.append(len(page))  # noqa: PERF401 - a cancelled comprehension would lose them

        for number in range(40):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(download)
                await anyio.sleep(number / 2_000)
                tasks.cancel_scope.cancel()
    gc.collect()
    assert sizes
    assert [record.getMessage() for record in caplog.records] == []
