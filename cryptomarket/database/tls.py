"""TLS to PostgreSQL: the parameters of libpq (`sslmode`, `sslrootcert`, `sslcert`, `sslkey`) in the database's address.

The driver takes a context instead, and of the address only some of them. https://www.postgresql.org/docs/18/libpq-ssl.html
"""

import ssl

from sqlalchemy import URL

from ..errors import StartError

__all__ = ["tls_arguments", "tls_problem"]

#: Modes in which the driver alone decides; the connection may stay without TLS.
_OPTIONAL = ("disable", "allow", "prefer")
_ENCRYPTED = ("require", "verify-ca", "verify-full")
_NAMES = ("ssl", "sslmode", "sslrootcert", "sslcert", "sslkey")


def tls_arguments(url: URL) -> tuple[URL, dict[str, object]]:
    """The address without its parameters of TLS, and the arguments of the driver for them.

    With `sslrootcert` alone the mode is `verify-full`; without any of them the driver uses TLS if the server offers it.
    `verify-ca` and `verify-full` without a file trust the certificates of the system. Raises StartError for parameters
    that cannot be used.
    """
    given = {name: url.query[name] for name in _NAMES if name in url.query}
    if url.get_backend_name() != "postgresql" or not given:
        return url, {}
    if ("ssl" in given and "sslmode" in given) or not all(isinstance(value, str) for value in given.values()):
        raise StartError("the database address has two values for one parameter; `ssl` is another word for `sslmode`")
    root = given.get("sslrootcert")
    mode = given.get("sslmode") or given.get("ssl") or ("verify-full" if root else "prefer")
    if mode not in _OPTIONAL + _ENCRYPTED:
        raise StartError(f"the database address: sslmode is one of {', '.join(_OPTIONAL + _ENCRYPTED)}")
    if mode in _OPTIONAL and len(given) > 1:
        raise StartError(f"the database address: sslmode={mode} checks no certificate; expected verify-full")
    url = url.difference_update_query(_NAMES)
    if mode in _OPTIONAL:
        return url, {"ssl": mode}
    return url, {"ssl": _context(str(mode), _text(root), _text(given.get("sslcert")), _text(given.get("sslkey")))}


def _text(value: object) -> str | None:
    return str(value) if value else None


def _context(mode: str, root: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if root == "system" else root)
        if certificate:
            context.load_cert_chain(certificate, key)
    except OSError as exc:  # ssl.SSLError is one
        raise StartError(
            f"a file of sslrootcert, sslcert or sslkey in the database address cannot be used: {exc.strerror or exc}"
        ) from exc
    context.check_hostname = mode == "verify-full"
    if mode == "require" and root is None:
        context.verify_mode = ssl.CERT_NONE
    return context


def tls_problem(error: BaseException) -> str | None:
    """What keeps TLS from being used and what to do, or None for another error. Waiting cures none of them."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is refused ({error.verify_message}); sslrootcert=FILE in CRYPTOMARKET_DATABASE_URL names "
            "the authority that signed it, and the host of the address must be one that it is for"
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS fails ({error.reason or error}); see sslmode in CRYPTOMARKET_DATABASE_URL"
    if "rejected SSL upgrade" in str(error):
        return "it offers no TLS, which sslmode in CRYPTOMARKET_DATABASE_URL requires; switch it on at the server"
    return None
