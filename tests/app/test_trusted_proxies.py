"""From where a browser comes: the socket's address, unless a proxy that the operator named says otherwise."""

import contextlib
from pathlib import Path

import pytest

from tests.processes import running_program
from tests.reader import reading

LONG_RETRY = 15_000


@pytest.mark.parametrize(
    ("trusted", "second_is_welcome"),
    [
        (
            "127.0.0.0/8",
            {
                "203.0.113.9": True,
                "203.0.113.1": False,  # the same browser once more
                "203.0.113.9, 203.0.113.1": False,  # the last is what our proxy saw, the one before it is forged
            },
        ),
        ("192.0.2.0/24", {"203.0.113.9": False}),  # another proxy is trusted, not this one
    ],
)
async def test_only_a_named_proxy_speaks_for_a_browser(
    tmp_path: Path, trusted: str, second_is_welcome: dict[str, bool]
) -> None:
    """One stream an address: a second from elsewhere is welcome only if who says so is believed."""
    settings = {"max_streams_per_address": 1, "trusted_proxies": trusted}
    async with running_program(tmp_path, "demo", **settings) as program:
        url = f"{await program.url()}/sse/"
        async with reading(url, **{"X-Forwarded-For": "203.0.113.1"}) as first:
            await first.event()
            found = {forwarded: await welcome(url, forwarded) for forwarded in second_is_welcome}
        assert found == second_is_welcome


async def welcome(url: str, forwarded: str) -> bool:
    """Whether a stream is taken; one that is turned away is told to come back much later."""
    async with reading(url, **{"X-Forwarded-For": forwarded}) as stream:
        with contextlib.suppress(EOFError):
            await stream.event()
        return (stream.parser.retry or 0) < LONG_RETRY
