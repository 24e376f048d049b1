"""The threats to persons by their number: each attack fails, and succeeds once the test removes its defence.

An attack returns what it got, something false if it failed. Threats that other tests answer are listed with the names
of those tests, which must exist.
"""

import ast
import base64
import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet, InvalidToken
from starlette.requests import Request

from cryptomarket import logs
from cryptomarket.errors import NotLoggedIn
from cryptomarket.persons import credential_middleware, session_cookies, vault
from cryptomarket.persons.accounts import AccountReader
from cryptomarket.persons.authenticator import Authenticator
from cryptomarket.persons.browser_sessions import PERSON, BrowserSessions
from cryptomarket.persons.keyring import Keyring
from cryptomarket.persons.limits import LoginLimits
from cryptomarket.persons.person import LIFE_SECONDS
from cryptomarket.persons.session_cookies import COOKIE, SessionCookies
from cryptomarket.persons.vault import Vault, fingerprint
from cryptomarket.public_site import ANY_SITE, PublicSite

from .canary import Canary
from .test_credential_middleware import SECRET, MiddlewareSetup, body
from .test_leader_worker import Leader

CANARY = Canary({"secret": SECRET.encode()})
EVIL = {"origin": "https://evil.example", "sec_fetch_site": "cross-site"}
MINE = "c" * 43


def request(**headers: str) -> Request:
    """A request with the headers, as a server makes it."""
    given = {"host": "here.example", **headers}
    listed = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "scheme": "http", "headers": listed})


def authenticator_of(leader: Leader) -> Authenticator:
    """The authenticator of a node over the same cache."""
    cookies = SessionCookies(leader.vault.keyring, ANY_SITE)
    return Authenticator(leader.sessions, cookies, ANY_SITE, publish=leader.published.append)


def values(cache: Any) -> list[bytes]:
    """Every value in the cache."""
    return [value for value, _ in cache._values.values()]


# The attacks


async def read_the_cache() -> object:
    """1: dump the cache while it holds the secret of a login."""
    setup = MiddlewareSetup()
    await setup.post(body())
    return CANARY.scan(b" ".join(values(setup.cache)), "the cache")


async def read_the_log() -> object:
    """2: read a log line to which a secret was passed by mistake."""
    line = logs._without_secrets(None, "info", {"event": "x", "client_secret": SECRET})
    return CANARY.scan(json.dumps(dict(line)).encode(), "the log")


async def read_the_memory() -> object:
    """3: read the server's copy of the body after the login was accepted."""
    piece = bytes(bytearray(body()))
    await MiddlewareSetup().post(piece)
    return CANARY.scan(piece, "memory")


async def open_with_what_lies_beside() -> object:
    """4: decrypt one value of the cache with another."""
    setup = MiddlewareSetup()
    await setup.post(body())
    held = values(setup.cache)
    keys = {key for value in held for key in re.findall(rb"[A-Za-z0-9_-]{43}=", _bare(value))}
    return [value for key in keys for value in held if _opens(key, value)]


def _bare(value: bytes) -> bytes:
    return value + b" " + b" ".join(_texts(value))


def _texts(value: bytes) -> list[bytes]:
    try:
        found = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return []
    texts = []
    for one in found if isinstance(found, list) else []:
        try:
            texts.append(base64.b64decode(one))
        except ValueError:
            continue
    return texts


def _opens(key: bytes, value: bytes) -> bool:
    try:
        return bool(Fernet(key).decrypt(value))
    except (InvalidToken, ValueError):
        return False


async def take_a_session_from_the_cache() -> object:
    """5: use the name of a session in the cache as a cookie."""
    leader = Leader()
    session, _ = authenticator_of(leader).browser_session(request())
    assert session
    await leader.log_in(session)
    names = [name.removeprefix("deribit:session:") async for name in leader.cache.names("deribit:session:")]
    with contextlib.suppress(NotLoggedIn):
        return await authenticator_of(leader).person(request(cookie=f"{COOKIE}={names[0]}"))
    return None


async def act_without_a_token() -> object:
    """6: make a private call without a token, which acts for the connection's last login."""
    leader = Leader()
    await leader.log_in()
    await leader.account()
    calls = [params for method, params in leader.exchange.calls if method.startswith("private/")]
    assert calls
    return [params for params in calls if not params.get("access_token")]


async def answer_with_another_person() -> object:
    """7: put the record of another person into a person's place in the cache."""
    leader = Leader()
    await leader.log_in()
    await leader.log_in("s2", "key8")
    (other,) = await leader.cache.get(PERSON % "8")
    assert other is not None
    await leader.cache.put(PERSON % "7", other, 60)
    return await leader.sessions.person("7")


async def log_in_from_another_site() -> object:
    """8: log the browser in from a page of another site."""
    status, _, _ = await MiddlewareSetup().post(body(), **EVIL)
    return status == 202


async def listen_from_another_site() -> object:
    """9: open a stream with the person's cookie from a page of another site."""
    return authenticator_of(Leader()).browser_session(request(**EVIL))[0]


async def choose_a_session() -> object:
    """29: plant a cookie of one's own making, and know the session of a browser."""
    made = f"{COOKIE}={MINE}{'0' * 64}"
    return authenticator_of(Leader()).browser_session(request(cookie=made))[0] == fingerprint(made.partition("=")[2])


async def flood() -> object:
    """15: try more logins from one address than are allowed."""
    setup = MiddlewareSetup(per_minute=3)
    taken = [(await setup.post(body(f"key{number}")))[0] == 202 for number in range(12)]
    return sum(taken) > 6  # a minute may end in between


async def guess_on() -> object:
    """16: guess again at once after some wrong guesses."""
    limits = MiddlewareSetup().limits
    for _ in range(8):
        await limits.record_wrong_key("key", "192.0.2.1")
    return await limits.delay("key", "192.0.2.1") == 0


async def send_a_form() -> object:
    """19: send what a form of another site can send without a preflight."""
    status, _, _ = await MiddlewareSetup().post(body(), **{"content-type": "text/plain"})
    return status == 202


async def come_back_too_late() -> object:
    """28: use a login whose tokens have expired, in a cache that did not delete it."""
    leader = Leader()
    await leader.log_in()
    leader.cache._monotonic = lambda: 0.0
    leader.clock.now += LIFE_SECONDS + 1
    return (await leader.sessions.persons_of(["s1"]))[0]


# The defences


def _beside(self: Vault, secret: bytearray) -> tuple[bytes, bytes]:
    key = Fernet.generate_key()
    return Fernet(key).encrypt(bytes(secret)), key


async def _without_token(self: AccountReader, person: Any) -> Any:
    raw = await self._doors[person.door].call("private/get_account_summaries", {})
    return msgspec.json.decode(raw)["summaries"] and []


def _open_any(self: Vault, name: str, record: bytes) -> bytes:
    wrapped = msgspec.json.decode(record, type=vault._Wrapped)
    inner = Fernet(self._open(wrapped.key)).decrypt(wrapped.sealed)
    return msgspec.json.decode(inner, type=vault._Named).data


async def _no_delay(*_: object) -> float:
    return 0.0


@dataclass(frozen=True)
class Threat:
    """A threat: the attack, and the replacements that remove its defence, each as object, attribute, value."""

    number: int
    attack: Callable[[], Awaitable[object]]
    without: tuple[tuple[object, str, object], ...]


THREATS = [
    Threat(1, read_the_cache, ((Vault, "seal_secret", lambda self, secret: (bytes(secret), b"key")),)),
    Threat(2, read_the_log, ((logs, "_SECRET_WORDS", ()),)),
    Threat(3, read_the_memory, ((credential_middleware, "wipe", lambda data: None),)),
    Threat(
        4,
        open_with_what_lies_beside,
        ((Vault, "seal_secret", _beside), (Vault, "seal", lambda self, name, data: data)),
    ),
    Threat(5, take_a_session_from_the_cache, ((session_cookies, "fingerprint", lambda cookie: cookie),)),
    Threat(6, act_without_a_token, ((AccountReader, "_read", _without_token),)),
    Threat(7, answer_with_another_person, ((Vault, "open", _open_any),)),
    Threat(8, log_in_from_another_site, ((PublicSite, "same_site", lambda self, scope: True),)),
    Threat(9, listen_from_another_site, ((PublicSite, "same_site", lambda self, scope: True),)),
    Threat(15, flood, ((LoginLimits, "count_login", _no_delay),)),
    Threat(16, guess_on, ((LoginLimits, "delay", _no_delay),)),
    Threat(19, send_a_form, ((credential_middleware, "_check_head", lambda request: None),)),
    Threat(29, choose_a_session, ((Keyring, "verifies", lambda self, purpose, data, mac: True),)),
    Threat(28, come_back_too_late, ((BrowserSessions, "_confirmed", lambda self, session, person: person),)),
]

#: The tests elsewhere that answer a threat.
ELSEWHERE = {
    1: "persons/test_canary_run.py::test_threat_01_02_03_no_secret_is_anywhere",
    2: "persons/test_credential_middleware.py::test_a_wrong_shape_is_refused_without_an_echo",
    3: "persons/test_vault.py::test_fernet_never_sees_the_secret",
    4: "persons/test_vault.py::test_a_secret_comes_back_from_its_two_halves",
    5: "persons/test_login_flow.py::test_two_persons_never_see_each_other",
    6: "deribit/test_calls.py::test_a_call_that_would_act_for_everybody_is_refused_at_once",
    7: "persons/test_cache.py::test_a_hung_redis_fails_a_command_in_time",
    8: "persons/test_credential_middleware.py::test_a_wrong_head_is_refused_before_the_body",
    9: "stream/test_endpoint.py::test_only_allowed_origins_may_read",
    10: "persons/test_threats.py::test_threat_10_a_token_in_an_address_opens_nothing",
    11: "stream/test_encoding.py::test_no_text_forges_a_field",
    12: "web/test_app.py::test_a_page_carries_a_policy_without_inline_anything",
    13: "stream/test_raw_input.py::test_a_dripping_body_is_cut_off",
    14: "stream/test_endpoint.py::test_overload_is_answered_with_200_a_long_retry_and_the_end",
    15: "persons/test_credential_middleware.py::test_too_many_logins_from_one_address_wait",
    16: "persons/test_login_flow.py::test_a_wrong_secret_and_an_unknown_key_read_alike",
    17: "persons/test_credential_middleware.py::test_strange_paths_do_not_bypass_the_middleware",
    18: "persons/test_credential_middleware.py::test_other_methods_are_refused",
    19: "persons/test_credential_middleware.py::test_a_wrong_head_is_refused_before_the_body",
    20: "deribit/test_faults.py::test_fault_3_a_redirect_is_not_followed",
    21: "persons/test_threats.py::test_threat_21_no_request_chooses_the_call_upstream",
    22: "deribit/test_fuzz.py::test_mutated_frames_crash_nothing_and_forge_no_price",
    23: "persons/test_vault.py::test_a_broken_record_is_refused",
    24: "test_logs.py::test_a_json_line_parses_and_cannot_be_forged",
    25: "app/test_trusted_proxies.py::test_only_a_trusted_proxy_may_forward_addresses",
    26: "test_packaging.py::test_every_locked_package_has_hashes",
    27: "test_image.py::test_the_image_does_not_run_as_root",
    28: "persons/test_leader_worker.py::test_a_revoked_token_ends_the_login_at_the_next_call",
}


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: f"{threat.number:02}-{threat.attack.__name__}")
async def test_threat_is_answered(threat: Threat) -> None:
    """The attack returns nothing."""
    assert not await threat.attack()


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: f"{threat.number:02}-{threat.attack.__name__}")
async def test_threat_is_real_without_its_defence(threat: Threat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its defence the same attack succeeds, so the test above can fail."""
    for place, name, instead in threat.without:
        monkeypatch.setattr(place, name, instead)
    assert await threat.attack()


async def test_threat_10_a_token_in_an_address_opens_nothing() -> None:
    """A token that is valid in a header is ignored in the address."""
    leader = Leader()
    await leader.log_in(session=fingerprint(MINE))
    token = leader.sessions.token(await leader.person(), fingerprint(MINE))
    tested = authenticator_of(leader)
    assert (await tested.person(request(authorization=f"Bearer {token}"))).person_id == "7"
    with_token = request()
    for name in ("token", "access_token", "authorization", COOKIE):
        with_token.scope["query_string"] = f"{name}={token}".encode()
        with pytest.raises(NotLoggedIn):
            await tested.person(with_token)


async def test_threat_21_no_request_chooses_the_call_upstream() -> None:
    """Whatever a request contains, the only call upstream reads the balances of a person who is logged in."""
    leader = Leader()
    await leader.log_in()
    before = len(leader.exchange.calls)
    for kind in ("private/logout", "private/buy", "public/auth", "", "account"):
        for person_id in ("7", "8", "*", "7?x=1"):
            whose = {"person_id": person_id, "session": "s1"}
            request = {"kind": kind, **whose, "method": "private/buy", "access_token": "mine"}
            await leader.worker.handle(msgspec.json.encode(request))
    called = {method for method, _ in leader.exchange.calls[before:]}
    assert called == {"private/get_account_summaries"}


def test_every_threat_has_its_test() -> None:
    """All 28 threats name a test that exists."""
    assert sorted(ELSEWHERE) == list(range(1, 29))
    tests = Path(__file__).parents[1]
    for number, node in ELSEWHERE.items():
        file, _, name = node.partition("::")
        tree = ast.parse((tests / file).read_text())
        functions = {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in functions, f"threat {number}: {node}"
