"""Logging in: signatures that Deribit would compute, scopes compared, tokens renewed in time, secrets unseen."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_curve_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from cryptomarket.deribit.application_login import ApplicationLogin
from cryptomarket.deribit.auth import (
    LEVELS,
    READ_ONLY_SCOPE,
    Credentials,
    Grant,
    GrantType,
    Secret,
    documented_scope,
    missing_rights,
    signature,
    write_rights,
)
from cryptomarket.errors import ExchangeRefused
from cryptomarket.simulator.scopes import FULL, granted

KEY = Credentials("AMANDA", Secret("AMANDASECRECT"))


def login(**options: Any) -> ApplicationLogin:
    given: dict[str, Any] = {"exchange_time": lambda: 1576074319.0, "random": lambda: 0.5, "nonce": lambda: "1iqt2wls"}
    return ApplicationLogin(KEY, **given | options)


@pytest.mark.parametrize(
    ("secret", "timestamp", "nonce", "data", "expected"),
    [
        ("AMANDASECRECT", 1576074319000, "1iqt2wls", "",
         "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1"),
        ("exampleSecret_do_not_use", 1760000000000, "n0nce-42", "",
         "9a73ee960d1696794e72a1d0ea89388c4da14ce84d4529265a6c71d4bbe18b82"),
        ("exampleSecret_do_not_use", 1760000000000, "n0nce-42", "extra data",
         "cfe04ec1d26fa4799a0e2869d7c2ad032f584b778b1cbe00d6861002da0aa640"),
    ],
)  # fmt: skip
def test_signs_as_deribit_does(secret: str, timestamp: int, nonce: str, data: str, expected: str) -> None:
    """The worked examples, the first of them Deribit's own."""
    assert signature(secret.encode(), timestamp, nonce, data) == expected


def pem_of(key: Ed25519PrivateKey | RSAPrivateKey | EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


ED25519, RSA = Ed25519PrivateKey.generate(), generate_private_key(65537, 2048)
PEM = pem_of(ED25519)


@pytest.mark.parametrize("pem", [PEM, PEM.replace(b"\n", b""), PEM.replace(b"\n", b"\r\n"), bytearray(PEM)])
def test_an_ed25519_key_signs_the_same_text(pem: bytes) -> None:
    """In base64url without padding; a password field of a browser removes line breaks."""
    signed = signature(pem, 1576074319000, "1iqt2wls")
    assert "=" not in signed
    ED25519.public_key().verify(base64.urlsafe_b64decode(signed + "=="), b"1576074319000\n1iqt2wls\n")
    assert bytes(pem).startswith(b"-----BEGIN")  # it is the caller who overwrites it


def test_an_rsa_key_signs_as_openssl_does() -> None:
    """PKCS #1 v1.5 with SHA-256, the defaults of ``openssl pkeyutl -rawin``."""
    signed = base64.urlsafe_b64decode(signature(pem_of(RSA), 1576074319000, "1iqt2wls") + "==")
    RSA.public_key().verify(signed, b"1576074319000\n1iqt2wls\n", PKCS1v15(), SHA256())


@pytest.mark.parametrize(
    "pem",
    [
        pem_of(ED25519, b"password"),
        pem_of(generate_curve_key(SECP256R1())),
        PEM[:60],
        PEM.replace(b"M", b"N", 1),
        b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----",
    ],
    ids=["with a password", "of a curve", "cut", "damaged", "a certificate"],
)
def test_a_key_that_cannot_sign_is_refused_without_an_echo(pem: bytes) -> None:
    """With a password, of another kind, cut, damaged, or no private key at all."""
    with pytest.raises(ValueError, match="private key") as refused:
        signature(pem, 0, "")
    assert refused.value.__cause__ is None
    assert "BEGIN PRIVATE KEY" in str(refused.value)


def test_a_private_key_is_never_sent() -> None:
    """Even where the secret of a key would be."""
    one = ApplicationLogin(
        Credentials("AMANDA", Secret(PEM.decode())), exchange_time=lambda: 0.0, grant_type=GrantType.CREDENTIALS
    )
    assert one.params()["grant_type"] == "client_signature"
    assert "PRIVATE" not in str(one.params())


def test_a_signed_login_does_not_carry_the_secret() -> None:
    """The default grant proves the secret without sending it."""
    params = login().params()
    assert params["signature"] == "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1"
    assert "AMANDASECRECT" not in repr(params)


def test_credentials_are_sent_when_told_so() -> None:
    """The other grant is one argument away."""
    params = login(grant_type=GrantType.CREDENTIALS).params()
    assert (params["grant_type"], params["client_secret"]) == ("client_credentials", "AMANDASECRECT")


def test_the_secret_is_in_no_representation() -> None:
    """Printing, formatting and comparing errors never show it."""
    assert "SECRECT" not in f"{KEY} {KEY!r} {KEY.client_secret} {login()!r} {login().statistics()}"


def test_a_smaller_grant_is_seen() -> None:
    """The exchange narrows a scope without an error; read_write includes read."""
    assert missing_rights("connection mainaccount account:read_write") == []
    assert missing_rights("connection mainaccount trade:read") == ["account:read"]


def test_every_kind_of_right_is_named_in_the_request() -> None:
    """A kind that is not named is granted up to the key's limit: a full key is granted no right to write."""
    words, _ = granted(FULL, READ_ONLY_SCOPE)
    assert {word.partition(":")[0] for word in FULL.split()} == set(LEVELS)
    assert words == {"account:read", "mainaccount", "connection"}


@pytest.mark.parametrize("kind", LEVELS)
def test_a_right_to_write_is_seen(kind: str) -> None:
    """Of each kind of right, whatever was requested of it."""
    assert write_rights(f"session:x mainaccount expires:5 name:mine {kind}:read_write") == [f"{kind}:read_write"]


def test_a_kind_of_right_that_is_new_locks_nobody_out() -> None:
    """Rights to read are accepted; an unknown level counts as the widest."""
    assert write_rights("account:read trade:read staking:read") == []
    assert write_rights("account:read staking:everything") == ["staking:read_write"]


def test_a_scope_that_the_exchange_cannot_read_is_replaced_by_its_documented_words() -> None:
    """Once and at once; a second refusal is followed by a pause."""
    one = login()
    refusal = ExchangeRefused("public/auth", -32602, "Invalid params", "scope invalid value")
    one.sent()
    one.refused(refusal, 0.0)
    assert one.due(0.0)
    assert one.params()["scope"] == f"session:{one.exchange_session} account:read wallet:none trade:none"
    one.sent()
    one.refused(refusal, 0.0)
    assert not one.due(1.0)
    assert documented_scope(f"session:x {READ_ONLY_SCOPE} expires:5").endswith("trade:none expires:5")


def test_refreshes_at_eighty_percent_of_the_life_or_a_little_before() -> None:
    """Nothing is due before 70 % and something is at 80 %, by the refresh token."""
    one = login()
    one.sent()
    one.granted(Grant("a", "r", 1000.0, "session:x account:read"), 0.0)
    assert not one.due(699.0)
    assert one.due(800.0)
    scope = f"session:{one.exchange_session} {READ_ONLY_SCOPE}"
    assert one.params() == {"grant_type": "refresh_token", "refresh_token": "r", "scope": scope}


def test_d1_a_wide_renewal_is_narrowed_at_once_or_dropped() -> None:
    """The new refresh token requests the scope again; a login that stays wide is not used, and tried rarely."""
    one = login()
    one.granted(Grant("a", "r", 1000.0, "account:read"), 0.0)
    one.sent()
    assert "trade:read_write" in one.granted(Grant("a2", "r2", 1000.0, "account:read trade:read_write"), 800.0)[0]
    assert (one.authenticated, one.degraded, one.due(800.0)) == (True, True, True)
    assert one.params()["refresh_token"] == "r2"
    assert "account:read wallet:none trade:none" in one.params()["scope"]
    one.sent()
    one.granted(Grant("a3", "r3", 1000.0, "account:read trade:none"), 801.0)
    assert (one.authenticated, one.degraded, one.due(802.0)) == (True, False, False)
    for _ in range(2):
        one.sent()
        one.granted(Grant("a4", "r4", 1000.0, "account:read_write"), 1700.0)
    assert (one.authenticated, one.degraded, one.due(1800.0), one.due(2400.0)) == (False, True, False, True)
    assert one.params()["grant_type"] == "client_signature"


def test_a_refused_refresh_is_followed_by_a_full_login_at_once() -> None:
    """The login of the connection goes on meanwhile."""
    one = login()
    one.granted(Grant("a", "r", 1000.0, "account:read"), 0.0)
    one.sent()
    one.params()
    one.failed("invalid_token", 800.0, hopeless=False)
    assert one.authenticated
    assert one.due(800.0)
    assert one.params()["grant_type"] == "client_signature"


def test_a_rejected_key_is_tried_rarely_even_on_new_connections() -> None:
    """Too many failed logins lock accounts (12003)."""
    one = login()
    one.sent()
    one.failed("13004 invalid_credentials", 0.0, hopeless=True)
    one.connection_lost()
    assert one.degraded
    assert not one.due(400.0)
    assert one.due(600.0)


@pytest.mark.parametrize("code", [13004, 13009])
def test_a_signature_made_by_a_wrong_clock_is_made_again_at_once(code: int) -> None:
    """The refusal told the exchange's time; a second refusal is followed by the pause of a rejected key."""
    times = iter([1_000.0, 1_090.0, 1_090.0, 1_200.0])
    one = login(exchange_time=lambda: next(times))
    refusal = ExchangeRefused("public/auth", code, "invalid_credentials")
    for again in (True, False):
        one.sent()
        one.params()
        one.refused(refusal, 0.0)
        assert one.due(1.0) is again
    assert one.degraded


def test_authenticated_dies_with_the_connection() -> None:
    """After a disconnect the client is not authenticated, and the next connection logs in again."""
    one = login()
    one.granted(Grant("a", "r", 1000.0, "account:read"), 0.0)
    one.connection_lost()
    assert not one.authenticated
    assert one.due(1.0)


def test_without_credentials_nothing_is_due() -> None:
    """Public prices need no login."""
    assert not ApplicationLogin(None, exchange_time=lambda: 0.0).due(1e9)


EVICTED = ExchangeRefused("public/subscribe", 13778, "raw_subscriptions_not_available_for_unauthorized")


def granted_at(one: ApplicationLogin, now: float) -> None:
    one.sent()
    one.granted(Grant("a", "r", 31_536_000.0, "account:read"), now)


def test_a_lost_login_is_made_anew_at_once() -> None:
    """With the key, since the refresh token was ended too; it is reported until then."""
    one = login()
    granted_at(one, 0.0)
    assert one.lost(EVICTED, 5_000.0, 5_000.0)
    assert (one.authenticated, one.degraded, one.due(5_000.0)) == (False, True, True)
    assert one.params()["grant_type"] == "client_signature"
    granted_at(one, 5_000.1)
    assert (one.authenticated, one.degraded, one.losses) == (True, False, 1)


def test_several_refusals_are_one_loss() -> None:
    """Requests that were on their way, and one that was sent before the new login was granted."""
    one = login()
    granted_at(one, 0.0)
    assert one.lost(EVICTED, 5_000.0, 5_000.1)
    one.sent()
    assert one.lost(EVICTED, 5_000.0, 5_000.2)
    granted_at(one, 5_000.3)
    assert one.lost(EVICTED, 5_000.2, 5_000.4)
    assert (one.authenticated, one.losses) == (True, 1)


def test_a_login_that_is_lost_again_and_again_is_made_with_growing_pauses() -> None:
    """A key without the right must not log in for ever; after a long good time the next loss is the first again."""
    one, now, pauses = login(), 0.0, []
    for _ in range(9):
        granted_at(one, now)
        at_once = one.lost(EVICTED, now + 1, now + 1)
        start = now = now + 1
        while not one.due(now):
            now += 1
        pauses.append(now - start)
        assert at_once is (now == start)
    assert pauses[:3] == [0, 18, 35]
    assert pauses[-1] > 400
    granted_at(one, now)
    assert one.lost(EVICTED, now + 3600, now + 3600)


def test_a_refused_renewal_is_a_loss_and_no_wrong_clock() -> None:
    """The full login follows at once, though the last signature was made long ago."""
    times = iter(range(0, 1_000_000, 1_000))
    one = login(exchange_time=lambda: float(next(times)))
    one.params()
    granted_at(one, 0.0)
    one.sent()
    assert one.params()["grant_type"] == "refresh_token"
    one.refused(ExchangeRefused("public/auth", 13009, "unauthorized", "invalid_token"), 900.0)
    assert (one.losses, one.authenticated, one.due(900.0)) == (1, True, True)
    assert one.params()["grant_type"] == "client_signature"


@pytest.mark.parametrize("code", [13004, 13009])
def test_a_login_that_is_lost_during_its_renewal_is_made_anew_at_once(code: int) -> None:
    """The refusal of the renewal says nothing against the key, and the loss is counted once."""
    one = login()
    granted_at(one, 0.0)
    one.sent()
    one.params()
    assert one.lost(EVICTED, 5_000.0, 5_000.0)
    one.refused(ExchangeRefused("public/auth", code, "invalid_credentials"), 5_000.1)
    assert (one.losses, one.authenticated, one.due(5_000.1)) == (1, False, True)
    assert one.params()["grant_type"] == "client_signature"


def test_tokens_of_a_year_are_renewed_each_quarter_of_an_hour() -> None:
    """The session that went longest without a renewal is ended first, and a refused renewal tells that ours was."""
    one = login()
    granted_at(one, 0.0)
    assert not one.due(700.0)
    assert one.due(900.0)
