"""Checks of the codes and forms of errors. Checks that need a key are among those of authentication."""

import json
import secrets
from collections.abc import AsyncIterator

from ...statements import connection, errors
from ..allowed import UNKNOWN_METHOD
from ..host import Host
from ..registry import check
from ..rows import Observation, saw
from ..sockets import ANSWER_SECONDS

#: A name that an instrument could have.
UNKNOWN_INSTRUMENT = "BTC-31DEC99-1-C"


@check(
    errors.UNKNOWN_METHOD_CODE,
    errors.INVALID_PARAMS_CODE,
    errors.INVALID_PARAMS_DATA,
    errors.MISSING_VALUE_REASON,
    errors.SHORT_HEARTBEAT_REASON,
    errors.FORCED_ERROR,
)
async def wrong_requests(host: Host) -> AsyncIterator[Observation]:
    """Ask for an unknown method and with wrong parameters."""
    async with host.socket() as socket:
        yield saw(errors.UNKNOWN_METHOD_CODE, (await socket.call(UNKNOWN_METHOD)).code)
        short = await socket.call("public/set_heartbeat", interval=connection.SHORTEST_HEARTBEAT.value - 5)
        yield saw(errors.INVALID_PARAMS_CODE, short.code)
        data = short.error.get("data")
        keys = tuple(sorted(data, reverse=True)) if isinstance(data, dict) else ()
        yield saw(errors.INVALID_PARAMS_DATA, keys)
        yield saw(errors.SHORT_HEARTBEAT_REASON, short.reason[0])
        yield saw(errors.MISSING_VALUE_REASON, (await socket.call("public/set_heartbeat")).reason[0])
        forced = await socket.call("public/test", expected_result="exception")
        yield saw(errors.FORCED_ERROR, bool(forced.code))


@check(connection.SHORTEST_HEARTBEAT)
async def shortest_heartbeat(host: Host) -> AsyncIterator[Observation]:
    """Ask for the shortest interval, and for one that is a second shorter."""
    shortest = connection.SHORTEST_HEARTBEAT.value
    async with host.socket() as socket:
        shorter = await socket.call("public/set_heartbeat", interval=shortest - 1)
        good = await socket.call("public/set_heartbeat", interval=shortest)
        await socket.call("public/disable_heartbeat")
        seen = shortest if good.result == "ok" and shorter.code else "another"
        yield saw(connection.SHORTEST_HEARTBEAT, seen)


@check(errors.BAD_JSON_CODE, errors.BAD_JSON_DATA, errors.BAD_JSON_HAS_ID, connection.BAD_JSON_KEEPS_OPEN)
async def bad_json(host: Host) -> AsyncIterator[Observation]:
    """Send a frame that is not JSON, and a request after it."""
    async with host.socket() as socket:
        await socket.send('{"jsonrpc":"2.0","id":1,"method":')
        found = await socket.until(lambda message: message.answers, ANSWER_SECONDS)
        if found is not None:
            yield saw(errors.BAD_JSON_CODE, found.code)
            yield saw(errors.BAD_JSON_DATA, found.error.get("data"))
            yield saw(errors.BAD_JSON_HAS_ID, found.get("id") is not None)
        else:
            yield saw(errors.BAD_JSON_CODE, None)
        if socket.closed is None:
            number = await socket.ask("public/test")
            await socket.until(lambda message: message.get("id") == number, ANSWER_SECONDS)
        yield saw(connection.BAD_JSON_KEEPS_OPEN, socket.closed is None)


@check(errors.UNKNOWN_INSTRUMENT_CODE, errors.UNKNOWN_INSTRUMENT_REASON, errors.WRONG_NAME_REASON)
async def unknown_instruments(host: Host) -> AsyncIterator[Observation]:
    """Ask for the tickers of an instrument that does not exist, and of a name that none can have."""
    async with host.socket() as socket:
        unknown = await socket.call("public/ticker", instrument_name=UNKNOWN_INSTRUMENT)
        yield saw(errors.UNKNOWN_INSTRUMENT_CODE, unknown.code)
        yield saw(errors.UNKNOWN_INSTRUMENT_REASON, unknown.reason[0])
        wrong = await socket.call("public/ticker", instrument_name="nonsense")
        yield saw(errors.WRONG_NAME_REASON, wrong.reason[0])


@check(errors.SUBSCRIBE_BY_HTTP_CODE, errors.ERROR_STATUS, connection.HEARTBEAT_BY_HTTP, connection.LOGOUT_BY_HTTP)
async def errors_over_http(host: Host) -> AsyncIterator[Observation]:
    """Send over HTTP what belongs to a WebSocket, and a private call without a log-in."""
    subscribed = await host.post("public/subscribe", channels=[f"deribit_price_index.{host.index}"])
    yield saw(errors.SUBSCRIBE_BY_HTTP_CODE, subscribed.code)
    private = await host.get("private/get_account_summaries")
    yield saw(errors.ERROR_STATUS, private.status)
    beat = await host.post("public/set_heartbeat", interval=connection.SHORTEST_HEARTBEAT.value)
    yield saw(connection.HEARTBEAT_BY_HTTP, not beat.code and beat.status == 200)
    logout = await host.get("private/logout")
    yield saw(connection.LOGOUT_BY_HTTP, not logout.code and logout.status == 200)


@check(errors.NO_TOKEN_CODE, errors.NO_TOKEN_REASON)
async def no_token(host: Host) -> AsyncIterator[Observation]:
    """Make a private call without a log-in."""
    async with host.socket() as socket:
        answer = await socket.call("private/get_account_summaries")
        yield saw(errors.NO_TOKEN_CODE, answer.code)
        yield saw(errors.NO_TOKEN_REASON, answer.reason[0])


@check(errors.WRONG_KEY_CODE)
async def wrong_key(host: Host) -> AsyncIterator[Observation]:
    """Log in once with a key that does not exist."""
    made_up = {"client_id": secrets.token_hex(4), "client_secret": secrets.token_hex(16)}
    async with host.socket() as socket:
        answer = await socket.call("public/auth", grant_type="client_credentials", **made_up)
        yield saw(errors.WRONG_KEY_CODE, answer.code)


def padded(size: int) -> str:
    """A request of ``public/test`` of exactly so many bytes."""
    request = {"jsonrpc": "2.0", "id": 1, "method": "public/test", "params": {"padding": ""}}
    request["params"] = {"padding": "x" * (size - len(json.dumps(request)))}
    return json.dumps(request)
