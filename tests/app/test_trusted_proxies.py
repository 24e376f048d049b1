"""The address of a browser is the socket's, or the one that a trusted proxy forwards."""

import contextlib
from pathlib import Path

import pytest

from tests.processes import running_program
from tests.reader import reading

pytestmark = pytest.mark.system

LONG_RETRY = 15_000


@pytest.mark.parametrize(
    ("trusted", "second_is_accepted"),
    [
        (
            "127.0.0.0/8",
            {
                "203.0.113.9": True,
                "203.0.113.1": False,  # the same browser once more
                "203.0.113.9, 203.0.113.1": False,  # our proxy added the last, and the client forged the first
            },
        ),
        ("192.0.2.0/24", {"203.0.113.9": False}),  # another proxy is trusted, not this one
    ],
)
async def test_only_a_trusted_proxy_may_forward_addresses(
    tmp_path: Path, trusted: str, second_is_accepted: dict[str, bool]
) -> None:
    """With one stream an address, a second stream is accepted only from another trusted forwarded address."""
    settings = {"max_streams_per_address": 1, "trusted_proxies": trusted}
    async with running_program(tmp_path, "demo", **settings) as program:
        url = f"{await program.url()}/sse/"
        async with reading(url, **{"X-Forwarded-For": "203.0.113.1"}) as first:
            await first.event()
            found = {forwarded: await accepted(url, forwarded) for forwarded in second_is_accepted}
        assert found == second_is_accepted


async def test_a_proxy_is_trusted_on_a_socket_of_both_versions_of_ip(tmp_path: Path) -> None:
    """A listener on `::` sees 127.0.0.1 as ::ffff:127.0.0.1."""
    settings = {"max_streams_per_address": 1, "trusted_proxies": "127.0.0.1", "host": "::"}
    async with running_program(tmp_path, "demo", **settings) as program:
        url = f"{await program.url()}/sse/".replace("[::]", "127.0.0.1")
        async with reading(url, **{"X-Forwarded-For": "203.0.113.1"}) as first:
            await first.event()
            assert await accepted(url, "203.0.113.9")
            assert not await accepted(url, "203.0.113.1")


async def accepted(url: str, forwarded: str) -> bool:
    """Return whether a stream is accepted; a refused one has a long reconnection time."""
    async with reading(url, **{"X-Forwarded-For": forwarded}) as stream:
        with contextlib.suppress(EOFError):
            await stream.event()
        return (stream.parser.retry or 0) < LONG_RETRY
