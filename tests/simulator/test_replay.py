"""Recorded frames come out of the exchange as they were recorded."""

import gzip
import json
from pathlib import Path

import anyio
import pytest

from cryptomarket.simulator.exchange import running_exchange
from cryptomarket.simulator.replay import UnreadableRecording
from tests.recorded import recorded_folder, recorded_lines

from .client import connected


async def test_recorded_frames_come_back_byte_for_byte_in_order() -> None:
    """Every notification of the 2026 stream arrives on its channel, in order, as recorded."""
    lines = recorded_lines("fastmm-2026-09-30*")
    folder = recorded_folder()
    assert folder is not None
    expected = [line["raw"] for line in lines]
    channels = sorted({json.loads(text)["params"]["channel"] for text in expected})
    path = next(folder.glob("fastmm-2026-09-30*"))
    async with running_exchange(replay=path, speed=0) as exchange, connected(exchange) as client:
        assert sorted(await client.result("public/subscribe", channels=channels)) == channels
        assert [await client.text() for _ in expected] == expected
        with anyio.fail_after(30):
            await exchange.replayed.wait()


async def test_raw_channels_of_old_recordings_are_open_to_everybody() -> None:
    """The capture of 2021 was made without login, and its instruments are in the catalogue again."""
    recorded_lines("cryptofeed-2021-04*")
    folder = recorded_folder()
    assert folder is not None
    path = next(folder.glob("cryptofeed-2021-04*"))
    channel = "ticker.BTC-30APR21-20000-C.raw"
    async with running_exchange(replay=path, speed=0) as exchange, connected(exchange) as client:
        assert await client.result("public/subscribe", channels=[channel]) == [channel]
        assert (await client.notification())["params"]["data"]["instrument_name"] == "BTC-30APR21-20000-C"
        names = [row["instrument_name"] for row in await client.result("public/get_instruments", currency="BTC")]
        assert "BTC-30APR21-20000-C" in names


async def test_data_alone_gets_the_documented_envelope(tmp_path: Path) -> None:
    """A line that holds only params.data is served as a whole notification; files may be compressed."""
    line = {"received_at": None, "direction": "in", "part": "params.data", "channel": "quote.X", "raw": '{"a":1}'}
    path = tmp_path / "part.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(line).encode()))
    async with running_exchange(replay=path, speed=0) as exchange, connected(exchange) as client:
        await client.result("public/subscribe", channels=["quote.X"])
        text = '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.X","data":{"a":1}}}'
        assert await client.text() == text


@pytest.mark.parametrize(
    "content", [b"\x1f\x8bxx", gzip.compress(b"{}", mtime=0)[:-3], gzip.compress(b"{}" * 99, mtime=0)[:12], None]
)
async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    """A damaged archive, or a folder."""
    path = tmp_path / "some.jsonl.gz"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(UnreadableRecording, match=r"some\.jsonl\.gz: cannot be read"):
        async with running_exchange(replay=path):
            pass


async def test_a_file_that_is_no_recording_is_named(tmp_path: Path) -> None:
    """The error says file and line."""
    path = tmp_path / "bad.jsonl"
    path.write_text('{"direction":"in","raw":"{}"}\nnonsense\n')
    with pytest.raises(UnreadableRecording, match=r"bad\.jsonl, line 2"):
        async with running_exchange(replay=path):
            pass
