"""The parameters of TLS in the address of PostgreSQL, as libpq reads them."""

import ssl
from pathlib import Path

import pytest
from sqlalchemy import make_url

from cryptomarket.database.tls import tls_arguments
from cryptomarket.errors import StartError

from .certificates import Authority

URL = "postgresql+asyncpg://u:hunter2@h/d?application_name=x"


@pytest.mark.parametrize(
    ("query", "verified", "named"),
    [
        ("sslmode=require", ssl.CERT_NONE, False),
        ("sslmode=require&sslrootcert=CA", ssl.CERT_REQUIRED, False),
        ("sslmode=verify-ca&sslrootcert=CA", ssl.CERT_REQUIRED, False),
        ("sslmode=verify-ca", ssl.CERT_REQUIRED, False),
        ("sslmode=verify-full&sslrootcert=CA", ssl.CERT_REQUIRED, True),
        ("sslmode=verify-full&sslrootcert=system", ssl.CERT_REQUIRED, True),
        ("ssl=verify-full", ssl.CERT_REQUIRED, True),
        ("sslrootcert=CA", ssl.CERT_REQUIRED, True),
    ],
)
def test_what_is_verified(tmp_path: Path, query: str, verified: ssl.VerifyMode, named: bool) -> None:
    """Whether the certificate must be signed by the authority, and be for the host; other parameters stay."""
    query = query.replace("CA", str(Authority(tmp_path).certificate))
    url, arguments = tls_arguments(make_url(f"{URL}&{query}"))
    assert dict(url.query) == {"application_name": "x"}
    context = arguments["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (verified, named)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_an_optional_mode_is_left_to_the_driver(mode: str) -> None:
    """It checks no certificate."""
    url, arguments = tls_arguments(make_url(f"{URL}&sslmode={mode}"))
    assert (dict(url.query), arguments) == ({"application_name": "x"}, {"ssl": mode})


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sslmode=maybe", "one of disable, allow, prefer, require, verify-ca, verify-full"),
        ("sslmode=require&ssl=require", "two values"),
        ("sslmode=require&sslmode=disable", "two values"),
        ("sslmode=prefer&sslrootcert=x", "checks no certificate"),
        ("sslrootcert=/nonexistent", "No such file"),
        ("sslmode=require&sslcert=/nonexistent", "No such file"),
    ],
)
def test_unusable_parameters_are_refused(query: str, said: str) -> None:
    """The error does not show the address."""
    with pytest.raises(StartError, match=said) as caught:
        tls_arguments(make_url(f"{URL}&{query}"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite+aiosqlite:///x.db", URL])
def test_an_address_without_parameters_is_unchanged(url: str) -> None:
    """The driver then uses TLS if the server offers it."""
    assert tls_arguments(make_url(url)) == (make_url(url), {})
