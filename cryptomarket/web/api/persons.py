"""The routes of persons: log in, who is logged in, balances, log out. The middleware has read a login's body before."""

from dataclasses import dataclass

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ...errors import RequestRefused
from ...persons.accounts import AccountClient
from ...persons.authenticator import Authenticator, same_site
from ...persons.credential_middleware import STATE, AcceptedLogin
from ...persons.limits import LoginLimits
from ...persons.login_queue import LoginQueue
from ...persons.login_secrets import LoginSecrets
from .dependencies import json_response
from .models import AccountResponse, LoginAccepted, LoginBody, PersonResponse
from .openapi import problems, request_body, response

__all__ = ["PersonServices", "person_router"]

_ACCEPTED = response("Accepted; the result arrives on the stream.", LoginAccepted, status=202)


@dataclass(frozen=True, slots=True)
class PersonServices:
    """What requests of persons need; the last two are for the middleware before the login."""

    authenticator: Authenticator
    login_queue: LoginQueue
    accounts: AccountClient
    login_secrets: LoginSecrets
    limits: LoginLimits


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
        """Accepted: the result arrives on the channel `connection` of this browser's streams.

        It takes at most 15 seconds. When many log in it takes up to 120, `place` and `seconds` say how long, and then
        `login_waiting`. When there is no place it is refused with 503.
        """
        accepted: AcceptedLogin = request.scope[STATE]
        session, headers = authenticator.browser_session(request)
        if session is None:
            raise RequestRefused(403, "a log-in from a page of this site")
        place = await services.login_queue.submit(
            accepted.login_id, session, client=accepted.client, address=accepted.address
        )
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
        person = await authenticator.person(request)
        accounts = await services.accounts.balances(person)
        return json_response(msgspec.json.encode({"person_id": person.person_id, "accounts": accounts}).decode())

    @router.delete(
        "/me",
        status_code=204,
        summary="Log out everywhere",
        response_class=Response,
        responses=problems(401, 403, 503),
    )
    async def log_out(request: Request) -> Response:
        """Forget the person, its tokens and all its browser sessions, on every node."""
        if not same_site(request.headers):
            raise RequestRefused(403, "a request from a page of this site")
        await authenticator.log_out(await authenticator.person(request))
        return Response(status_code=204, headers={"Cache-Control": "no-store"})

    return router
