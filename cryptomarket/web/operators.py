"""Who may see what is for operators: the metrics, and the details of a node's status."""

import hmac
import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from starlette.datastructures import Headers
from starlette.requests import Request

from ..errors import RequestRefused

__all__ = ["Operators"]

LOOPBACK = ("127.0.0.0/8", "::1/128")
#: Headers in which a reverse proxy names the client. One that is not trusted may have added them.
FORWARDED = ("x-forwarded-for", "x-real-ip", "forwarded")
#: A longer header names more proxies than there are.
MOST_CHARACTERS = 1024


class Operators:
    """Operators are the clients of this machine, of ``networks``, and those that know the ``token``.

    A request that a proxy forwarded is an operator's only if each address that its headers name is one: a proxy on this
    machine must not make everybody local.
    """

    def __init__(self, networks: Sequence[str] = (), token: str | None = None) -> None:
        self._networks = [ipaddress.ip_network(network) for network in (*LOOPBACK, *networks)]
        self._token = token.encode() if token else None

    def __repr__(self) -> str:
        return f"<Operators of {len(self._networks)} networks>"

    def include(self, request: Request) -> bool:
        """Whether the request is an operator's."""
        if self._knows_token(request.headers):
            return True
        client = request.client.host if request.client else ""
        return all(map(self._is_operator, (client, *_forwarded_for(request.headers))))

    def check(self, request: Request) -> None:
        """Raise RequestRefused unless the request is an operator's."""
        if not self.include(request):
            raise RequestRefused(403, "an operator's address (CRYPTOMARKET_OPERATORS) or token", reason="operators")

    def _knows_token(self, headers: Mapping[str, str]) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if self._token is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(token.strip().encode("latin-1", "replace"), self._token)

    def _is_operator(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if address.version == 6 else None
        return any((mapped or address) in network for network in self._networks)


def _forwarded_for(headers: Headers) -> Iterable[str]:
    """Each address that the request was forwarded for; text that is no plain address is returned as it is.

    A header may be there twice: some proxies add their own after that of the client.
    """
    for name in FORWARDED:
        for value in headers.getlist(name):
            yield from (part.strip() for part in value[:MOST_CHARACTERS].split(","))
