"""Checks of what is different at the hosts of Coinbase; all without a key."""

from collections.abc import AsyncIterator

from ...statements import coinbase
from ...statements.statement import COINBASE_STREAMS
from ..host import Host
from ..registry import check
from ..rows import Observation, saw
from .channels import listed, subscribe


@check(coinbase.COINBASE_SILENCE_SECONDS, coinbase.COINBASE_SILENCE_CODE, slow=True)
async def silence(host: Host) -> AsyncIterator[Observation]:
    """Send nothing after the first request."""
    stated = coinbase.COINBASE_SILENCE_SECONDS.value
    async with host.socket() as socket:
        if host.kind == COINBASE_STREAMS:
            await subscribe(socket, f"ticker.{host.perpetual}.100ms")
        else:
            await socket.call("public/test")
        start = host.clock.now()
        await socket.until(lambda _: False, stated + 12)
        if socket.closed is None:
            yield saw(coinbase.COINBASE_SILENCE_SECONDS, 0.0)
            return
        seconds = host.clock.now() - start
        yield saw(
            coinbase.COINBASE_SILENCE_SECONDS, round(seconds, 1), holds=abs(seconds - stated) <= 4 + host.clock.slack
        )
        yield saw(coinbase.COINBASE_SILENCE_CODE, socket.closed[0])


@check(coinbase.STREAMS_ANSWERS_CALLS, coinbase.STREAMS_ANSWERS_HELLO, coinbase.STREAMS_RAW, coinbase.STREAMS_PRIVATE)
async def streams(host: Host) -> AsyncIterator[Observation]:
    """Ask the host of market data for what it does not answer."""
    async with host.socket() as socket:
        yield saw(coinbase.STREAMS_ANSWERS_CALLS, not (await socket.call("public/get_time")).code)
        hello = await socket.call("public/hello", client_name="cryptomarket-verify", client_version="1")
        yield saw(coinbase.STREAMS_ANSWERS_HELLO, not hello.code)
        raw = f"ticker.{host.perpetual}.raw"
        yield saw(coinbase.STREAMS_RAW, raw in listed(await subscribe(socket, raw)))
        private = await socket.call("private/subscribe", channels=["user.portfolio.any"])
        yield saw(coinbase.STREAMS_PRIVATE, "user.portfolio.any" in listed(private))


@check(coinbase.MAIN_SUBSCRIBE_CODE, coinbase.MAIN_SUBSCRIBE_MESSAGE)
async def main(host: Host) -> AsyncIterator[Observation]:
    """Subscribe market data at the host of private calls."""
    async with host.socket() as socket:
        answer = await subscribe(socket, f"ticker.{host.perpetual}.100ms")
        yield saw(coinbase.MAIN_SUBSCRIBE_CODE, answer.code)
        yield saw(coinbase.MAIN_SUBSCRIBE_MESSAGE, answer.error.get("message"))


@check(coinbase.COINBASE_REJECTED_CODE)
async def rejected_token(host: Host) -> AsyncIterator[Observation]:
    """Log in once with a token that nobody signed."""
    async with host.socket() as socket:
        answer = await socket.call("public/auth", grant_type="coinbase_cdp", token="made up")  # noqa: S106 (no secret)
        yield saw(coinbase.COINBASE_REJECTED_CODE, answer.code)
