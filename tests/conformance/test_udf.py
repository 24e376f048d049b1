"""A charting client that is written from the UDF protocol alone reads our datafeed."""

import json
import shutil
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from cryptomarket.model import Price
from tests.web.site import NOON, prices, running_site

pytestmark = pytest.mark.system

CLIENT = Path(__file__).with_name("udf_client.mjs")


def recorded() -> list[Price]:
    """Return thirty hours of minutes before noon, of which one, sixty and three hundred in a row are missing."""
    whole = prices("btc_usd", NOON - 30 * 3600, 30 * 60, first=Decimal("64000.10"))
    gone = [(700, 701), (900, 960), (1200, 1500)]
    return [price for i, price in enumerate(whole) if not any(a <= i < b for a, b in gone)]


async def test_two_hundred_windows_have_no_duplicate_and_no_unsorted_bar(tmp_path: Path) -> None:
    """In any window of any resolution bars are sorted, on their grid, and equal to those of scrolling."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    async with running_site(tmp_path, recorded()) as site:
        with anyio.fail_after(90):
            done = await anyio.run_process([node, CLIENT, f"{site.address}/udf", "200"])
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert found["symbol"] == "btc_usd"
    assert found["bars"] > 5_000
    assert found["empty"] >= 6  # the beginning of each resolution
