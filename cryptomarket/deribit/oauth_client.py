"""The token endpoint of a login server (OAuth 2): codes and refresh tokens in, access tokens out.

https://docs.cdp.coinbase.com/coinbase-app/oauth2-integration/reference. A request is sent once, because a code and a
refresh token can be used once. No error repeats what was sent or answered, except the error word of RFC 6749.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from ..errors import ExchangeUnreachable, LoginServerRefused
from .auth import OAuthGrant, Secret
from .doors import OAuth
from .http_transport import HttpTransport

__all__ = ["OAuthApplication", "OAuthClient"]

#: The error words of RFC 6749, section 5.2, and of the servers that answer in its form; others are not repeated.
WORDS = frozenset(
    {
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_token",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)
#: The most that is read of a token or a scope.
MOST_LETTERS = 8_192


@dataclass(frozen=True, slots=True)
class OAuthApplication:
    """How this application is registered at the login server; ``secret`` is false for one without."""

    client_id: str
    secret: Secret


class _Error(msgspec.Struct, frozen=True):
    error: str = ""


class OAuthClient:
    """Requests tokens for the application; every method raises LoginServerRefused and ExchangeUnreachable."""

    def __init__(self, server: OAuth, application: OAuthApplication, transport: HttpTransport) -> None:
        self._server = server
        self._application = application
        self._transport = transport

    def __repr__(self) -> str:
        return f"<OAuthClient {self._server.token_url}>"

    async def exchange(self, code: str, verifier: str, redirect_uri: str) -> OAuthGrant:
        """The tokens for a code, which is used up."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        return await self._granted({**form, "code_verifier": verifier})

    async def refresh(self, refresh_token: str) -> OAuthGrant:
        """The tokens for a refresh token, which is used up; the answer has the next one."""
        return await self._granted({"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def revoke(self, access_token: str) -> None:
        """End what was granted with the token. The server answers alike whether it knew the token or not."""
        headers = {"Authorization": f"Bearer {access_token}"}
        await self._post("revoke", self._server.revoke_url, {"token": access_token}, headers)

    async def _granted(self, form: Mapping[str, str]) -> OAuthGrant:
        answer = await self._post("token", self._server.token_url, form)
        try:
            grant = msgspec.json.decode(answer, type=OAuthGrant)
        except msgspec.DecodeError:
            raise ExchangeUnreachable("an unreadable answer of the login server") from None
        if max(len(grant.access_token), len(grant.refresh_token), len(grant.scope)) > MOST_LETTERS:
            raise ExchangeUnreachable("an answer of the login server that is too long")
        return grant

    async def _post(
        self, endpoint: str, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> bytes:
        application = self._application
        registered = {"client_id": application.client_id}
        if application.secret:
            registered["client_secret"] = application.secret.reveal()
        answer = await self._transport.request(
            f"oauth2/{endpoint}", "POST", url, headers=headers, data={**form, **registered}
        )
        status = answer.status
        if status < 400:
            return answer.body
        try:
            word = msgspec.json.decode(answer.body, type=_Error).error
        except msgspec.DecodeError:
            word = ""
        if status == 429:
            self._transport.slow_down()
        if word in WORDS and status not in (429, 500, 502, 503, 504):
            raise LoginServerRefused(endpoint, word)
        raise ExchangeUnreachable(f"oauth2/{endpoint}: HTTP {status}")
