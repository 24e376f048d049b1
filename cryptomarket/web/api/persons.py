"""The routes of persons: log in, who is logged in and where, balances, log out.

The middleware has read a login's body before. A browser gets a new session whenever somebody logs in or out with it, so
that who knew the cookie before knows nothing after.
"""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ...persons.accounts import AccountClient
from ...persons.authenticator import Authenticator
from ...persons.browser_label import browser_label
from ...persons.coinbase_login import CoinbaseLogin
from ...persons.credential_middleware import STATE, AcceptedLogin
from ...persons.limits import LoginLimits
from ...persons.login_queue import LoginQueue
from ...persons.login_secrets import LoginSecrets
from ...persons.notifications import LoginFailures
from ...refusals import Refused, ignore_refusal
from .coinbase import coinbase_router
from .dependencies import json_response
from .models import AccountResponse, LoginAccepted, LoginBody, PersonResponse, SessionEntry, SessionListResponse
from .openapi import problems, request_body, response

__all__ = ["PersonServices", "person_router"]

_NO_STORE = {"Cache-Control": "no-store"}
#: Browsers drop what they cached of this site. Not the cookies: that would race with the new one. Not the storage: it
#: holds the choices of the board and nothing of the person.
CLEAR = {"Clear-Site-Data": '"cache"', **_NO_STORE}

SessionId = Annotated[
    str, Path(description="The `id` of an entry of `/me/sessions`.", max_length=16, examples=["5d1f0a9be2c47730"])
]

_ACCEPTED = response("Accepted; the result arrives on the stream.", LoginAccepted, status=202)


@dataclass(frozen=True, slots=True)
class PersonServices:
    """What requests of persons need; ``coinbase`` is None where it is not offered.

    ``login_secrets`` and ``limits`` are for the middleware before the login as well.
    """

    authenticator: Authenticator
    login_queue: LoginQueue
    accounts: AccountClient
    login_secrets: LoginSecrets
    limits: LoginLimits
    failures: LoginFailures
    coinbase: CoinbaseLogin | None = None
    refused: Refused = ignore_refusal


def person_router(services: PersonServices) -> APIRouter:
    """The routes over one node's services."""
    router = APIRouter(prefix="/api/v1/persons", tags=["persons"])
    authenticator = services.authenticator

    @router.post(
        "/login",
        status_code=202,
        summary="Log in with a Deribit key",
        response_class=Response,
        openapi_extra=request_body(LoginBody),
        responses=_ACCEPTED | problems(400, 403, 408, 413, 415, 422, 429, 503),
    )
    async def login(request: Request) -> Response:
        """Accepted: the result arrives on the channel `connection` of streams opened with the new cookie.

        The response sets it; who was logged in with the cookie before is logged out of this browser. The result takes
        at most 15 seconds. When many log in it takes up to 120, `place` and `seconds` say how long, and then
        `login_waiting`. When there is no place it is refused with 503.
        """
        accepted: AcceptedLogin = request.scope[STATE]
        session, headers = authenticator.new_session(request)
        place = await services.login_queue.submit(
            accepted.login_id,
            session,
            client=accepted.client,
            address=accepted.address,
            browser=browser_label(request.headers.get("user-agent", "")),
        )
        await authenticator.leave_session(request)
        waiting = (place.place, place.seconds) if place else ()
        answer = json_response(LoginAccepted(accepted.login_id, *waiting), 202)
        answer.headers.update(headers)
        return answer

    @router.get(
        "/me",
        summary="Who is logged in",
        response_class=Response,
        responses=response("The person.", PersonResponse) | problems(401, 503),
    )
    async def me(request: Request) -> Response:
        """The person that the cookie or the bearer token names."""
        person = await authenticator.person(request)
        return json_response(
            PersonResponse(person.person_id, person.username, person.email, person.scope, person.expires_at)
        )

    @router.get(
        "/me/account",
        summary="The balances of the person",
        response_class=Response,
        responses=response("Balances by currency.", AccountResponse) | problems(401, 503),
    )
    async def account(request: Request) -> Response:
        """Balances by currency, read from the exchange with the person's own token; at most a few seconds old."""
        person, session = await authenticator.login(request)
        accounts = await services.accounts.balances(person, session)
        return json_response(msgspec.json.encode({"person_id": person.person_id, "accounts": accounts}).decode())

    @router.get(
        "/me/sessions",
        summary="Where the person is logged in",
        response_class=Response,
        responses=response("The browsers, the latest login first.", SessionListResponse) | problems(401, 503),
    )
    async def sessions(request: Request) -> Response:
        """The browsers in which the person is logged in; `last_seen` is at most ten minutes old while one is used."""
        person, current = await authenticator.login(request)
        entries = [
            SessionEntry(login.public_id, login.browser, login.first, login.used, session == current)
            for session, login in reversed(list(person.sessions.items()))
        ]
        return json_response(SessionListResponse(person.person_id, entries))

    @router.delete(
        "/me/sessions/{login}",
        status_code=204,
        summary="Log out one browser",
        response_class=Response,
        responses=problems(401, 403, 404, 422, 503),
    )
    async def end_session(request: Request, login: SessionId) -> Response:
        """End the login of one browser, which is told so; one that makes the request gets a new cookie."""
        _, headers = authenticator.new_session(request)
        person, current = await authenticator.login(request)
        ended = await authenticator.end_session(person, login)
        if ended is None:
            raise HTTPException(404)
        return Response(status_code=204, headers={**CLEAR, **headers} if ended == current else _NO_STORE)

    @router.delete(
        "/me",
        status_code=204,
        summary="Log out everywhere",
        response_class=Response,
        responses=problems(401, 403, 503),
    )
    async def log_out(request: Request) -> Response:
        """Forget the person, its tokens and all its browser sessions, on every node; the browser gets a new cookie."""
        _, headers = authenticator.new_session(request)
        await authenticator.log_out(await authenticator.person(request))
        return Response(status_code=204, headers={**CLEAR, **headers})

    router.include_router(
        coinbase_router(
            services.coinbase,
            authenticator=authenticator,
            login_queue=services.login_queue,
            login_secrets=services.login_secrets,
            limits=services.limits,
            failures=services.failures,
            refused=services.refused,
        )
    )
    return router
