"""What keeps TLS to Redis from being used. Other failures pass; these need an operator.

The parameters of the address are those of the client library: `rediss://host:6379/0?ssl_ca_certs=FILE`, with
`ssl_certfile` and `ssl_keyfile` where Redis asks for a certificate. Certificate and host name are checked by default.
"""

import ssl

import anyio
from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection

from ...errors import StartError
from .client import COMMAND_SECONDS

__all__ = ["check_tls"]

SETTING = "CRYPTOMARKET_REDIS_URL"


async def check_tls(redis: Redis) -> None:
    """Raise StartError when TLS cannot be used with the address's parameters; a Redis that is away may come back."""
    if not issubclass(redis.connection_pool.connection_class, SSLConnection):
        return
    try:
        with anyio.fail_after(COMMAND_SECONDS):
            await redis.ping()
    except TypeError:  # the library passes the parameters on as arguments
        raise StartError(f"Redis cannot be used: {SETTING} has a parameter that does not exist") from None
    except (RedisError, OSError, TimeoutError) as exc:
        if problem := _problem(exc):
            raise StartError(f"Redis cannot be used: {problem}") from None


def _problem(error: BaseException | None) -> str | None:
    """What is wrong with TLS and what to do, or None for an error with another cause."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"its certificate is refused ({error.verify_message}); ssl_ca_certs=FILE in {SETTING} names the "
                "authority that signed it, and the host of the address must be one that it is for"
            )
        if isinstance(error, ssl.SSLError):
            return f"TLS fails ({error.reason or error}); rediss:// in {SETTING} needs a port of Redis with TLS"
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            return f"a file that {SETTING} names cannot be read ({error.strerror})"
        error = error.__cause__ or error.__context__
    return None
