"""The table of costs names every route."""

import json
import re
from pathlib import Path

from tests.benchmarks.costs import CASES

from .in_process import ask, full_gateway

SECURITY = Path(__file__).parents[2] / "docs" / "security.md"


async def test_every_route_is_measured_and_in_the_table(tmp_path: Path) -> None:
    async with full_gateway(tmp_path, minutes=1) as gateway:
        document = (await ask(gateway.app, "/openapi.json")).body
    measured = {case.path for case in CASES}
    assert json.loads(document)["paths"].keys() <= measured
    table = set(re.findall(r"^\| `(/[^`]*)` \(\d+\) \|", SECURITY.read_text(), re.MULTILINE))
    assert table == measured
