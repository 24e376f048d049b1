"""The two addresses of a log-in at Coinbase: where it begins, and where Coinbase sends the browser back to.

Neither answers with a page of its own. The outcome is an event on the channel `connection`, as that of every log-in.
"""

import math

import msgspec
import structlog
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ...errors import CacheUnavailable, NoLeader, RequestRefused
from ...persons.authenticator import Authenticator
from ...persons.browser_label import browser_label
from ...persons.coinbase_door import COINBASE_DOOR, LoginCode
from ...persons.coinbase_login import CALLBACK_PATH, CoinbaseLogin
from ...persons.credential_middleware import TOO_MANY
from ...persons.limits import LoginLimits
from ...persons.login_queue import LoginQueue
from ...persons.login_secrets import LoginSecrets
from ...persons.notifications import LoginFailures
from ...refusals import Refused
from .openapi import problems
from .problems import NO_LOGINS

__all__ = ["DENIED", "FOREIGN", "coinbase_router"]

log = structlog.get_logger(__name__)

#: The page that shows the outcome.
RESULT_PAGE = "/?login=coinbase"
#: Neither address nor answer stays anywhere: the callback's holds a code.
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
NOT_OFFERED = RequestRefused(501, "a gateway whose operator offers log-in with Coinbase")
DENIED = "Coinbase did not log you in: you declined, or it does not offer this"
FOREIGN = "this log-in was not begun in this browser within the last ten minutes: begin again"


def coinbase_router(
    coinbase: CoinbaseLogin | None,
    *,
    authenticator: Authenticator,
    login_queue: LoginQueue,
    login_secrets: LoginSecrets,
    limits: LoginLimits,
    failures: LoginFailures,
    refused: Refused,
) -> APIRouter:
    """The routes; both are 501 where log-in at Coinbase is not offered."""
    router = APIRouter()

    async def submit(request: Request, code: LoginCode, session: str) -> None:
        """Store what the browser came back with and queue the login; raises as `LoginQueue.submit`."""
        address, secret = _address(request), bytearray(msgspec.json.encode(code))
        login_id = await login_secrets.put(COINBASE_DOOR, secret)
        label = browser_label(request.headers.get("user-agent", ""))
        await login_queue.submit(
            login_id, session, client=COINBASE_DOOR, address=address, browser=label, door=COINBASE_DOOR
        )

    async def attempt(request: Request, session: str, found: LoginCode | None) -> str:
        """Queue the login for the new session; return why there is none, empty if there is."""
        if found is None:
            refused("state", address=_address(request), route=CALLBACK_PATH)
            await _count(limits, request)
            return FOREIGN
        if not found.code:
            return DENIED
        try:
            await submit(request, found, session)
        except RequestRefused as exc:
            return str(exc)
        except NoLeader:
            return NO_LOGINS
        return ""

    @router.get(
        "/coinbase",
        status_code=303,
        summary="Log in with Coinbase",
        response_class=Response,
        responses=problems(403, 429, 501, 503),
    )
    async def begin(request: Request) -> Response:
        """A redirect to Coinbase, for a page to link to.

        Coinbase sends the browser back to the callback, and this site to its page, where the result arrives on the
        channel `connection`.
        """
        if coinbase is None:
            raise NOT_OFFERED
        session, headers = authenticator.browser_session(request)
        if session is None:
            raise RequestRefused(403, "a log-in from a page of this site", reason="origin")
        await _count(limits, request)
        address = await coinbase.begin(session, authenticator.origin(request))
        return Response(status_code=303, headers={**_HEADERS, **headers, "Location": address})

    @router.get(
        "/coinbase/callback",
        status_code=303,
        summary="Return from Coinbase",
        response_class=Response,
        responses=problems(429, 501, 503),
    )
    async def callback(request: Request) -> Response:
        """For Coinbase alone, with `state` and `code` or `error`: a redirect to the page, which shows the result.

        The browser gets a new session, as at every log-in. When nobody is logged in, it keeps the one it has.
        """
        if coinbase is None:
            raise NOT_OFFERED
        query, before = request.query_params, authenticator.own_session(request)
        found = await coinbase.end(query.getlist("state"), query.getlist("code"), before)
        session, headers = authenticator.next_session(request)
        try:
            why = await attempt(request, session, found)
        except CacheUnavailable:
            why = NO_LOGINS
        if not why:
            await authenticator.leave_session(request)
        else:
            if before is not None:  # neither a refusal nor somebody else's link ends what this browser has
                session, headers = before, {}
            await failures.notify(session, why)
        return Response(status_code=303, headers={**_HEADERS, **headers, "Location": RESULT_PAGE})

    return router


async def _count(limits: LoginLimits, request: Request) -> None:
    """Count a log-in of the address. Raises RequestRefused and CacheUnavailable."""
    wait = await limits.count_login(_address(request))
    if wait > 0:
        raise RequestRefused(429, TOO_MANY, retry_after=math.ceil(wait))


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
