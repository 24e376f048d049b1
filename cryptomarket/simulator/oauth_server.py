"""Coinbase's OAuth2 server over HTTP: consent, tokens, revocation.

``/oauth2/auth`` asks which account allows it; with ``login_hint``, a key or an e-mail, it consents at once. Coinbase's
own asks for a password. Names of fields: https://docs.cdp.coinbase.com/coinbase-app/oauth2-integration/reference
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from .accounts import SimulatedAccount
from .http import HttpResponse
from .oauth_issuer import Challenge, Consent, IssuedTokens, OAuthRefusal
from .shared_state import SharedState

__all__ = ["PREFIX", "OAuthServer", "RegisteredClient"]

PREFIX = "/oauth2/"
SHORTEST_STATE = 8
_SCOPE = re.compile(r"offline_access|wallet:[a-z_\-]+:[a-z_\-]+")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """An application that is registered with the server. Every address of this machine is a redirect_uri of it."""

    client_id: str = "demo-app"
    client_secret: str = field(default="", repr=False)
    redirect_uris: tuple[str, ...] = ()

    def redirects_to(self, address: str) -> bool:
        """Whether the address is one of its redirect URIs."""
        try:
            parts = urlsplit(address)
        except ValueError:
            return False
        local = parts.scheme in ("http", "https") and parts.hostname in _LOOPBACK and parts.username is None
        return (local and not parts.fragment) or address in self.redirect_uris


class OAuthServer:
    """The endpoints. Requests are answered at once; faults delay or refuse those of tokens."""

    def __init__(self, state: SharedState, client: RegisteredClient) -> None:
        self._state = state
        self._client = client

    def respond(self, verb: str, target: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        """The response to one HTTP request."""
        path, _, query = target.partition("?")
        form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        name = path.removeprefix(PREFIX)
        if name == "auth" and verb in ("GET", "POST"):
            return self._authorize(query, form)
        if name == "token" and verb == "POST":
            return self._token(headers, form)
        if name == "revoke" and verb == "POST":
            self._state.accounts.oauth.end(form.get("token", ""))
            return _json(200, {})
        return HttpResponse(404, b"<html><body><h1>404 Not Found</h1></body></html>", "text/html")

    # Consent

    def _authorize(self, query: str, form: dict[str, str]) -> HttpResponse:
        asked = dict(parse_qsl(query, keep_blank_values=True))
        redirect_uri = asked.get("redirect_uri", "")
        if asked.get("client_id") != self._client.client_id:
            return _page(400, "Unknown client_id")
        if not self._client.redirects_to(redirect_uri):  # an error is never sent to an address that is not registered
            return _page(400, "redirect_uri is not registered")
        try:
            scope, challenge = _request(asked)
            account = self._chosen(asked, form)
        except OAuthRefusal as exc:
            return _redirect(redirect_uri, asked, {"error": exc.error, "error_description": exc.description})
        if account is None:
            return _page(200, "Allow the application to read your account?", self._choices(query))
        consent = Consent(self._client.client_id, account.client_id, scope)
        return _redirect(
            redirect_uri, asked, {"code": self._state.accounts.oauth.code(consent, redirect_uri, challenge)}
        )

    def _chosen(self, asked: dict[str, str], form: dict[str, str]) -> SimulatedAccount | None:
        """Returns the account that consents; None while nobody has chosen. Raises OAuthRefusal when it is denied."""
        if "deny" in form:
            raise OAuthRefusal("access_denied", "the person denied it")
        wanted = form.get("account") or asked.get("login_hint")
        known = self._state.accounts.known.values()
        return next((account for account in known if wanted in (account.client_id, account.address)), None)

    def _choices(self, query: str) -> str:
        form = '<form method="post" action="{}auth?{}">{}</form>'
        button = '<p><button name="account" value="{}">Allow as {}</button></p>'
        known = self._state.accounts.known.values()
        buttons = [button.format(escape(account.client_id), escape(account.address)) for account in known]
        deny = '<p><button name="deny" value="1">Deny</button></p>'
        return form.format(PREFIX, escape(query), "".join([*buttons, deny]))

    # Tokens

    def _token(self, headers: Mapping[str, str], form: dict[str, str]) -> HttpResponse:
        delay_seconds = self._state.active_faults.oauth_delay_seconds
        try:
            self._check_client(headers, form)
            return _json(200, _tokens(self._issue(form)), delay_seconds)
        except OAuthRefusal as exc:
            return _json(exc.status, {"error": exc.error, "error_description": exc.description}, delay_seconds)

    def _issue(self, form: dict[str, str]) -> IssuedTokens:
        tokens, refused = self._state.accounts.oauth, self._state.active_faults.oauth_error
        kind = form.get("grant_type")
        if kind == "authorization_code":
            code, verifier = _field(form, "code"), form.get("code_verifier", "")
            return tokens.redeem(self._client.client_id, code, _field(form, "redirect_uri"), verifier)
        if kind == "refresh_token":
            if refused:
                raise OAuthRefusal(refused, "ordered by a fault", self._state.switches.coinbase_refresh_status)
            return tokens.refresh(self._client.client_id, _field(form, "refresh_token"))
        raise OAuthRefusal("unsupported_grant_type" if kind else "invalid_request", "grant_type")

    def _check_client(self, headers: Mapping[str, str], form: dict[str, str]) -> None:
        """Raises OAuthRefusal for an unknown client or a wrong secret, in the form or by Basic."""
        name, secret = form.get("client_id", ""), form.get("client_secret", "")
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise OAuthRefusal("invalid_client", "unreadable credentials", 401) from None
        if name != self._client.client_id or secret != self._client.client_secret:
            raise OAuthRefusal("invalid_client", "unknown client or wrong secret", 401)


def _request(asked: dict[str, str]) -> tuple[tuple[str, ...], Challenge]:
    """Returns the scope and the challenge of an authorization request; raises OAuthRefusal naming what is wrong."""
    if asked.get("response_type") != "code":
        raise OAuthRefusal("unsupported_response_type", "response_type must be code")
    if "state" in asked and len(asked["state"]) < SHORTEST_STATE:
        raise OAuthRefusal("invalid_request", f"state must have {SHORTEST_STATE} characters")
    scope = tuple(dict.fromkeys(asked.get("scope", "").replace(",", " ").split()))
    unknown = [word for word in scope if not _SCOPE.fullmatch(word)]
    if unknown or not scope:
        raise OAuthRefusal("invalid_scope", f"unknown: {' '.join(unknown)}" if unknown else "no scope")
    challenge = Challenge(asked.get("code_challenge", ""), asked.get("code_challenge_method", "plain"))
    if challenge.method not in ("S256", "plain"):
        raise OAuthRefusal("invalid_request", "code_challenge_method must be S256 or plain")
    return scope, challenge


def _field(form: dict[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise OAuthRefusal("invalid_request", f"{name} is missing")
    return value


def _tokens(issued: IssuedTokens) -> dict[str, Any]:
    value: dict[str, Any] = {"access_token": issued.access, "token_type": "bearer", "expires_in": issued.expires_in}
    if issued.refresh:
        value["refresh_token"] = issued.refresh
    return value | {"scope": " ".join(issued.consent.scope)}


def _json(status: int, value: dict[str, Any], delay_seconds: float = 0.0) -> HttpResponse:
    headers = (("cache-control", "no-store"),)
    return HttpResponse(status, json.dumps(value).encode(), headers=headers, delay_seconds=delay_seconds)


def _redirect(address: str, asked: dict[str, str], answer: dict[str, str]) -> HttpResponse:
    if "state" in asked:
        answer = answer | {"state": asked["state"]}
    location = f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(answer)}"
    return HttpResponse(303, b"", "text/plain", headers=(("location", location), ("cache-control", "no-store")))


def _page(status: int, title: str, body: str = "") -> HttpResponse:
    head = "<!doctype html><html><head><title>Coinbase, simulated</title></head>"
    text = f"{head}<body><h1>{title}</h1>{body}</body></html>"
    return HttpResponse(status, text.encode(), "text/html; charset=utf-8")
