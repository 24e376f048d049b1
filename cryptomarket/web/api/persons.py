"""The routes of persons: log in, who I am, what I have, log out. The body of a log-in never comes this far."""

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ...errors import RequestRefused
from ...persons.browser_sessions import Person
from ...persons.credential_middleware import same_site
from ...persons.front import Front
from .dependencies import json_response
from .described import ACCOUNT, LOGIN_BODY, LOGIN_TAKEN, PERSON, person_problems

__all__ = ["person_router"]


def person_router(front: Front) -> APIRouter:
    """The routes over one node's counter for persons."""
    router = APIRouter(prefix="/api/v1/persons", tags=["persons"])

    @router.post(
        "/login",
        status_code=202,
        summary="Log in with a Deribit key",
        response_class=Response,
        openapi_extra=LOGIN_BODY,
        responses={202: LOGIN_TAKEN, **person_problems(400, 403, 408, 413, 415, 422, 429, 503)},
    )
    async def login(request: Request) -> Response:
        """Taken: the outcome comes on the channel `connection` of this browser's streams within 15 seconds."""
        name, headers = front.take_login(request)
        answer = json_response(msgspec.json.encode({"login": name}).decode())
        answer.status_code = 202
        answer.headers.update(headers)
        return answer

    @router.get(
        "/me", summary="Who is logged in", response_class=Response, responses={200: PERSON, **person_problems(401, 503)}
    )
    async def me(request: Request) -> Response:
        """The person of the cookie or of the bearer token."""
        return _answer(await front.person(request))

    @router.get(
        "/me/account",
        summary="What the person has",
        response_class=Response,
        responses={200: ACCOUNT, **person_problems(401, 503)},
    )
    async def account(request: Request) -> Response:
        """Balances by currency, asked of the exchange with the person's own token; a few seconds old at most."""
        person = await front.person(request)
        accounts = await front.accounts(person)
        return json_response(msgspec.json.encode({"person_id": person.person_id, "accounts": accounts}).decode())

    @router.delete(
        "/me",
        status_code=204,
        summary="Log out everywhere",
        response_class=Response,
        responses=person_problems(401, 403, 503),
    )
    async def log_out(request: Request) -> Response:
        """Forget the person, its tokens and all its browser sessions, on every node."""
        if not same_site(request.headers):
            raise RequestRefused(403, "a request from a page of this site")
        await front.log_out(await front.person(request))
        return Response(status_code=204, headers={"Cache-Control": "no-store"})

    return router


def _answer(person: Person) -> Response:
    shown = ("person_id", "username", "email", "scope", "expires_at")
    return json_response(msgspec.json.encode({name: getattr(person, name) for name in shown}).decode())
