"""Checks of log-ins and tokens with a key. Each log-in has a short session of its own, with rights to read."""

import secrets
from collections.abc import AsyncIterator
from typing import Any

from ...errors import ExchangeUnreachable
from ...statements import authentication, errors, limits
from ..host import Host
from ..messages import Message
from ..registry import check
from ..rows import Observation, saw, unseen
from ..sockets import ANSWER_SECONDS, CheckSocket

SUMMARIES = "private/get_account_summaries"
#: How old a stale timestamp is made, beyond the time for which it is accepted, in seconds.
STALE_SECONDS = 15
#: The life of the tokens of a log-in.
LIFE_SECONDS = 120
#: Every kind of right that a scope can name.
KINDS = ("account", "trade", "wallet", "block_trade", "block_rfq", "custody")


def granted(answer: Message) -> dict[str, Any]:
    """The grant of a log-in. Raises ExchangeUnreachable when the exchange refused it."""
    if not isinstance(answer.result, dict) or "access_token" not in answer.result:
        raise ExchangeUnreachable(f"the log-in was refused with {answer.code}")
    return answer.result


def words(grant: dict[str, Any]) -> set[str]:
    """The words of a granted scope."""
    return set(str(grant.get("scope", "")).split())


@check(
    authentication.GRANT_FIELDS,
    authentication.TOKEN_TYPE,
    authentication.STATE_RETURNED,
    authentication.SESSION_GRANTED,
    authentication.SID,
    authentication.EXPIRES_OBEYED,
    authentication.NONE_OBEYED,
    authentication.LOGIN_REMEMBERED,
    login=True,
)
async def session_login(host: Host) -> AsyncIterator[Observation]:
    """Log in with a short session, and read the account without sending the token."""
    session = f"cryptomarket-verify-{secrets.token_hex(4)}"
    async with host.socket() as socket:
        answer = await host.log_in(socket, host.reading_scope(session, life_seconds=LIFE_SECONDS), state="verify")
        grant = granted(answer)
        stated = authentication.GRANT_FIELDS.value
        yield saw(authentication.GRANT_FIELDS, tuple(name for name in stated if name in grant))
        yield saw(authentication.TOKEN_TYPE, grant.get("token_type"))
        yield saw(authentication.STATE_RETURNED, grant.get("state") == "verify")
        yield saw(authentication.SESSION_GRANTED, f"session:{session}" in words(grant))
        yield saw(authentication.SID, "sid" in grant)
        yield saw(authentication.EXPIRES_OBEYED, grant["expires_in"] <= LIFE_SECONDS)
        refused = {f"{kind}:{level}" for kind in ("trade", "wallet") for level in ("read", "read_write")}
        yield saw(authentication.NONE_OBEYED, not refused & words(grant))
        yield saw(authentication.LOGIN_REMEMBERED, (await socket.call(SUMMARIES)).result is not None)


@check(authentication.SESSION_EXPIRES_IN, login=True)
async def session_life(host: Host) -> AsyncIterator[Observation]:
    """Log in with a session whose life is not limited."""
    scope = host.reading_scope().rpartition(" expires:")[0]
    async with host.socket() as socket:
        grant = granted(await host.log_in(socket, scope))
        yield saw(authentication.SESSION_EXPIRES_IN, grant["expires_in"])


@check(
    authentication.CONNECTION_EXPIRES_IN,
    authentication.DEFAULT_SCOPE,
    authentication.CONNECTION_TOKEN_ELSEWHERE,
    authentication.FORK_NEEDS_SESSION,
    login=True,
)
async def connection_login(host: Host) -> AsyncIterator[Observation]:
    """Log in without a session, and use the tokens on another connection."""
    rights = " ".join(word for word in host.reading_scope().split() if not word.startswith(("session:", "expires:")))
    async with host.socket() as socket, host.socket() as other:
        grant = granted(await host.log_in(socket, rights))
        yield saw(authentication.CONNECTION_EXPIRES_IN, grant["expires_in"])
        yield saw(authentication.DEFAULT_SCOPE, "connection" if "connection" in words(grant) else "another")
        elsewhere = await other.call(SUMMARIES, access_token=grant["access_token"])
        yield saw(authentication.CONNECTION_TOKEN_ELSEWHERE, elsewhere.result is not None)
        fork = await socket.call("public/fork_token", refresh_token=grant["refresh_token"], session_name="verify-fork")
        yield saw(authentication.FORK_NEEDS_SESSION, not fork.code)


@check(authentication.SESSION_TOKEN_ELSEWHERE, login=True)
async def token_elsewhere(host: Host) -> AsyncIterator[Observation]:
    """Use a token of a session on another connection and over HTTP."""
    async with host.logged_in() as (_, answer), host.socket() as other:
        token = granted(answer)["access_token"]
        there = await other.call(SUMMARIES, access_token=token)
        http = await host.post(SUMMARIES, bearer=token)
        yield saw(authentication.SESSION_TOKEN_ELSEWHERE, not there.code and not http.code)


@check(authentication.REFRESH_ENDS_PAIR, authentication.REFRESH_KEEPS_SCOPE, login=True)
async def refresh(host: Host) -> AsyncIterator[Observation]:
    """Refresh the tokens of a session without naming a scope, and try the refresh token before it again."""
    async with host.logged_in() as (socket, answer):
        first = granted(answer)
        renewed = granted(await _refresh(socket, first))
        lost = words(first) - words(renewed) - {"mainaccount"}
        wider = {one for one in words(renewed) - words(first) if one.partition(":")[0] in KINDS}
        if wider and not any(one.endswith("read_write") or one.startswith(("trade", "wallet")) for one in wider):
            yield unseen(authentication.REFRESH_KEEPS_SCOPE, "the key has no other rights")
        else:
            lost = {one for one in lost if one.partition(":")[0] in KINDS}
            yield saw(authentication.REFRESH_KEEPS_SCOPE, not wider and not lost)
        again = await _refresh(socket, first)
        yield saw(authentication.REFRESH_ENDS_PAIR, bool(again.code))


async def _refresh(socket: CheckSocket, grant: dict[str, Any]) -> Message:
    return await socket.call("public/auth", grant_type="refresh_token", refresh_token=grant["refresh_token"])


@check(authentication.ADOPTS_LAST_LOGIN, errors.MISSING_SCOPE_CODE, login=True)
async def two_logins(host: Host) -> AsyncIterator[Observation]:
    """Log in with the right to read the account, then without it, and read the account without a token."""
    allowed = host.reading_scope()
    forbidden = host.reading_scope().replace("account:read", "account:none")
    async with host.socket() as socket:
        granted(await host.log_in(socket, allowed))
        second = granted(await host.log_in(socket, forbidden))
        refused = await socket.call(SUMMARIES, access_token=second["access_token"])
        yield saw(errors.MISSING_SCOPE_CODE, refused.code)
        yield saw(authentication.ADOPTS_LAST_LOGIN, bool((await socket.call(SUMMARIES)).code))


@check(authentication.ANY_KIND_NONE, login=True)
async def every_kind_none(host: Host) -> AsyncIterator[Observation]:
    """Log in with none for every kind of right but one."""
    async with host.socket() as socket:
        timestamp = (await socket.call("public/get_time")).result
        answer = await socket.call("public/auth", **host.signed(host.reading_scope(), timestamp=timestamp))
        yield saw(authentication.ANY_KIND_NONE, not answer.code)


@check(
    authentication.SIGNATURE_SECONDS,
    errors.STALE_SIGNATURE_CODE,
    authentication.NONCE_REUSE,
    authentication.EMPTY_NONCE,
    errors.WRONG_SIGNATURE_CODE,
    login=True,
)
async def signatures(host: Host) -> AsyncIterator[Observation]:
    """Log in with signatures that are old, very old, wrong, and with a nonce twice."""
    scope, accepted = host.reading_scope(), authentication.SIGNATURE_SECONDS.value
    async with host.socket() as socket:
        now = (await socket.call("public/get_time")).result
        old = await host.log_in(socket, scope, timestamp=now - (accepted - STALE_SECONDS) * 1000)
        stale = await host.log_in(socket, scope, timestamp=now - (accepted + STALE_SECONDS) * 1000)
        good = not old.code and bool(stale.code)
        seen = f"{accepted - STALE_SECONDS} s: {old.code or 'accepted'}, {accepted + STALE_SECONDS} s: "
        yield saw(authentication.SIGNATURE_SECONDS, accepted if good else f"{seen}{stale.code or 'accepted'}")
        if stale.code:
            yield saw(errors.STALE_SIGNATURE_CODE, stale.code)
        nonce = secrets.token_hex(8)
        first = await host.log_in(socket, scope, nonce=nonce)
        second = await host.log_in(socket, scope, nonce=nonce)
        if not first.code:
            yield saw(authentication.NONCE_REUSE, not second.code)
        yield saw(authentication.EMPTY_NONCE, not (await host.log_in(socket, scope, nonce="")).code)
        wrong = await host.log_in(socket, scope, signature="0" * 64)
        yield saw(errors.WRONG_SIGNATURE_CODE, wrong.code)


@check(authentication.SUMMARIES_EXTENDED, authentication.SUMMARY_NEEDS_CURRENCY, login=True)
async def account(host: Host) -> AsyncIterator[Observation]:
    """Read the account; only the names of fields are looked at."""
    async with host.logged_in() as (socket, _):
        answer = await socket.call(SUMMARIES, extended=True)
        found = answer.result if isinstance(answer.result, dict) else {}
        stated = authentication.SUMMARIES_EXTENDED.value
        yield saw(authentication.SUMMARIES_EXTENDED, tuple(name for name in stated if name in found))
        missing = await socket.call("private/get_account_summary")
        yield saw(authentication.SUMMARY_NEEDS_CURRENCY, missing.reason[0])


@check(authentication.PORTFOLIO_LOWER_CASE, authentication.LABEL_RETURNED, login=True)
async def portfolio(host: Host) -> AsyncIterator[Observation]:
    """Subscribe the portfolio of the account; it may send nothing while the account rests."""
    async with host.logged_in() as (socket, _):
        await socket.call("private/subscribe", channels=["user.portfolio.BTC"], label="verify")
        found = await socket.until(lambda one: one.channel.lower() == "user.portfolio.btc", ANSWER_SECONDS)
        if found is not None:
            yield saw(authentication.PORTFOLIO_LOWER_CASE, found.channel == "user.portfolio.btc")
            yield saw(authentication.LABEL_RETURNED, found.body["params"].get("label") == "verify")


@check(authentication.CONNECTION_LOGINS_COUNT, login=True, exceeds=True)
async def connection_logins(host: Host) -> AsyncIterator[Observation]:
    """Log in with a session, then so often without one that it would be one session too many."""
    rights = " ".join(word for word in host.reading_scope().split() if not word.startswith("session:"))
    async with host.socket() as socket:
        first = granted(await host.log_in(socket, host.reading_scope()))
        refused = 0
        for _ in range(limits.SESSIONS_PER_KEY.value):
            refused = refused or (await host.log_in(socket, rights)).code
        ended = (await socket.call(SUMMARIES, access_token=first["access_token"])).code
        yield saw(authentication.CONNECTION_LOGINS_COUNT, bool(ended or refused))


@check(limits.SESSIONS_PER_KEY, authentication.EVICTS_SESSIONS, login=True, exceeds=True)
async def sessions(host: Host) -> AsyncIterator[Observation]:
    """Log in with one session more than a key may have. Other sessions of the key count as well."""
    most = limits.SESSIONS_PER_KEY.value
    async with host.socket() as socket:
        first = granted(await host.log_in(socket, host.reading_scope()))
        for number in range(1, most + 1):
            refused = (await host.log_in(socket, host.reading_scope())).code
            ended = (await socket.call(SUMMARIES, access_token=first["access_token"])).code
            if refused or ended:
                yield saw(limits.SESSIONS_PER_KEY, f"{number}, then one too many", holds=True)
                yield saw(authentication.EVICTS_SESSIONS, not refused)
                return
        yield saw(limits.SESSIONS_PER_KEY, f"{most + 1} and more")
