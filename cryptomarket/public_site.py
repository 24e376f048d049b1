"""The address by which browsers know this site: whether a request names it, and whether one of its pages sent it.

CRYPTOMARKET_PUBLIC_URL decides where it is set. Without it each request says its own scheme and host. Pure.
"""

import functools
import ipaddress
import string
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .errors import RequestRefused

__all__ = ["ANY_SITE", "PROBES", "PublicSite", "public_origin"]

#: Paths that probes and scrapers inside read by an IP address or by the name of a container.
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})

_HOST_BYTES = f"{string.ascii_letters}{string.digits}.-_:[]".encode()
#: A name of DNS has 253 letters at most.
MOST_HOST_BYTES = 262
_HOST_LETTERS = frozenset(string.ascii_letters + string.digits + ".-")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def public_origin(url: str) -> str:
    """Return the scheme, host and port of the URL as a browser writes them in an `Origin` header.

    Raises ValueError for anything but a scheme, a host and perhaps a port.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in _DEFAULT_PORTS or not host or parts.path not in ("", "/"):
        raise ValueError("not http:// or https:// with a host and no path")
    if "@" in parts.netloc or "?" in url or "#" in url or any(letter <= " " for letter in url):
        raise ValueError("more than a scheme, a host and a port")
    if ":" in host:
        host = f"[{ipaddress.IPv6Address(host)}]"
    elif not _HOST_LETTERS.issuperset(host):
        raise ValueError("a host that is no name")
    port = parts.port
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS[parts.scheme] else "")


class PublicSite:
    """Checks the `Host` and the `Origin` of requests; ``url`` is the public address, empty where it is unknown."""

    def __init__(self, url: str = "") -> None:
        self.origin = public_origin(url) if url else ""
        self._scheme, _, host = self.origin.partition("://")
        self._host = host.encode()

    def __repr__(self) -> str:
        return f"<PublicSite {self.origin}>"

    @property
    def secure(self) -> bool:
        """Whether the setting says that browsers come over TLS only."""
        return self._scheme == "https"

    @property
    def loopback(self) -> bool:
        """Whether the setting names this machine alone."""
        name = urlsplit(self.origin).hostname or ""
        return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)

    def is_https(self, scope: Mapping[str, Any]) -> bool:
        """Whether the browser of this request came over TLS, whatever a proxy speaks to us."""
        return (self._scheme or scope["scheme"]) == "https"

    def origin_of(self, scope: Mapping[str, Any]) -> str:
        """The public origin, or without the setting that of the request."""
        return self.origin or _own_origin(scope, dict(scope["headers"]))

    def check_host(self, scope: Mapping[str, Any]) -> None:
        """Raise RequestRefused unless the request has one `Host` header and it names this site.

        HTTP/1.0 needs none (RFC 9112, section 3.2), and load balancers probe with it. No page can send such a request.
        """
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if not hosts and scope["http_version"] == "1.0" and scope["path"] in PROBES:
            return
        if len(hosts) != 1 or not _is_host(hosts[0]):
            raise RequestRefused(400, "one Host header with the name or address of this site", reason="host")
        if self._host and hosts[0] != self._host and not self._accepts(hosts[0].decode(), scope["path"]):
            expected = f"the address {self.origin} of this site; its operator sets it in CRYPTOMARKET_PUBLIC_URL"
            raise RequestRefused(421, expected, reason="host")

    def _accepts(self, host: str, path: str) -> bool:
        """Whether a host is another form of the public one, or for a probe an address or a name without a domain."""
        try:
            if public_origin(f"{self._scheme}://{host}") == self.origin:
                return True
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        # No page of another site can have such a host, whatever its DNS says.
        return path in PROBES and ("." not in name or _is_address(name))

    def same_site(self, scope: Mapping[str, Any]) -> bool:
        """Whether the request comes from a page of this site, or from a client that is not a page.

        https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
        """
        headers = dict(scope["headers"])
        if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
            return False
        origin = headers.get(b"origin")
        return origin is None or origin.decode("latin-1") == (self.origin or _own_origin(scope, headers))


#: A site without a public address: each request says its own.
ANY_SITE = PublicSite()


@functools.lru_cache(maxsize=256)
def _is_host(text: bytes) -> bool:
    """Whether the text is a name or an address, perhaps with a port; cached, since each stream's join asks."""
    if len(text) > MOST_HOST_BYTES or text.translate(None, _HOST_BYTES):
        return False
    try:
        parts = urlsplit(f"//{text.decode()}")
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets around no address, or a port that is none
        return False


def _own_origin(scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> str:
    """The origin of the page that this request would load, empty if its host is none."""
    try:
        return public_origin(f"{scope['scheme']}://{headers.get(b'host', b'').decode('latin-1')}")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
