"""The order in which a gateway stops."""

from pathlib import Path

import anyio
import pytest

from tests.persons.site import running_persons
from tests.reader import reading


async def test_streams_end_while_the_lead_is_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database or Redis that hangs delays no reader."""
    handed_over = anyio.Event()
    async with running_persons(tmp_path) as site, reading(f"{site.url}/sse/?timer=3600") as reader:
        await reader.next("connection")
        with monkeypatch.context() as patch:
            patch.setattr(site.gateway._cluster, "hand_over", handed_over.wait)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(site.gateway.drain)
                with anyio.fail_after(5):
                    await reader.rest()
                handed_over.set()
