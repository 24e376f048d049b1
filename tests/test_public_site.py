"""Which hosts are served and which pages are ours, with a public address and without."""

from typing import Any

import pytest

from cryptomarket.errors import RequestRefused
from cryptomarket.public_site import PublicSite, public_origin


def scope(*headers: tuple[str, str], path: str = "/", scheme: str = "http", version: str = "1.1") -> dict[str, Any]:
    """A request with the headers, as a server makes it."""
    listed = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http", "http_version": version, "path": path, "scheme": scheme, "headers": listed}


def status(site: PublicSite, *hosts: str, path: str = "/", version: str = "1.1") -> int:
    """The status of a refused request, 200 for one that is served."""
    try:
        site.check_host(scope(*(("host", host) for host in hosts), path=path, version=version))
    except RequestRefused as exc:
        return exc.status
    return 200


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://prices.example.com", "https://prices.example.com"),
        ("https://Prices.Example.com:443/", "https://prices.example.com"),
        ("http://prices.example.com:8080", "http://prices.example.com:8080"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_origin_is_written_as_browsers_do(url: str, origin: str) -> None:
    """In lower case and without the port of the scheme."""
    assert public_origin(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "prices.example.com",
        "ftp://x",
        "https://",
        "https://x/y",
        "https://x?a",
        "https://x#",
        "https://u@x",
        "https://x y",
    ],
)
def test_anything_else_is_no_origin(url: str) -> None:
    """A path, a user, a query: none of it is part of an origin."""
    with pytest.raises(ValueError, match="host"):
        public_origin(url)


def test_only_the_public_host_is_served() -> None:
    """In any spelling; others are told the right address."""
    site = PublicSite("https://prices.example.com")
    for host in ("prices.example.com", "PRICES.example.com", "prices.example.com:443"):
        assert status(site, host) == 200
    for host in ("evil.example", "prices.example.com:8000", "127.0.0.1", "prices.example.com.evil.example"):
        assert status(site, host) == 421
    with pytest.raises(RequestRefused, match=r"https://prices\.example\.com.*CRYPTOMARKET_PUBLIC_URL"):
        site.check_host(scope(("host", "evil.example")))


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_come_by_an_address(path: str) -> None:
    """Or by the name of a container, which no page of another site can have."""
    site = PublicSite("https://prices.example.com")
    for host in ("127.0.0.1:8000", "10.1.2.3", "[::1]:8000", "localhost", "gateway:8000"):
        assert status(site, host, path=path) == 200
        assert status(site, host) == 421
    assert status(site, "evil.example", path=path) == 421


@pytest.mark.parametrize("site", [PublicSite(), PublicSite("https://prices.example.com")])
def test_probes_of_http_1_0_need_no_host(site: PublicSite) -> None:
    """As load balancers send them; nothing else is served so, nor a host that is broken or another one."""
    for path in ("/healthz", "/readyz", "/metrics"):
        assert status(site, path=path, version="1.0") == 200
        assert status(site, path=path) == 400
        assert status(site, "", path=path, version="1.0") == 400
    assert status(site, version="1.0") == 400
    assert status(PublicSite("https://a.example"), "evil.example", path="/readyz", version="1.0") == 421


#: Hosts that are neither a name nor an address, or have no port of TCP.
BROKEN = [("[::1",), ("[zz]",), ("a:99999",), ("a:0",), ("a:b",), ("1.2.3.4:80:80",), ("a" * 300,)]


@pytest.mark.parametrize("site", [PublicSite(), PublicSite("http://a.example")])
def test_there_is_exactly_one_host(site: PublicSite) -> None:
    """A missing, doubled, empty or broken one is refused, with and without a public address."""
    for hosts in (
        (),
        ("a.example", "a.example"),
        ("",),
        ("a.example/b",),
        ("a example",),
        ("a@b",),
        ("\xe4",),
        *BROKEN,
    ):
        assert status(site, *hosts) == 400
    assert status(site, "a.example") == 200
    assert status(PublicSite(), "[::1]:8000") == status(PublicSite(), "my_gateway") == 200


def test_a_page_of_ours_is_known_by_its_whole_origin() -> None:
    """Scheme, host and port, of the public address or else of the request."""
    known, unknown = PublicSite("https://a.example"), PublicSite()
    host = ("host", "a.example")
    for origin, by_setting, by_request in (
        ("https://a.example", True, False),
        ("http://a.example", False, True),
        ("http://a.example:8000", False, False),
        ("https://b.example", False, False),
        ("null", False, False),
    ):
        request = scope(host, ("origin", origin))
        assert (known.same_site(request), unknown.same_site(request)) == (by_setting, by_request)
    assert unknown.same_site(scope(host, ("origin", "https://a.example"), scheme="https"))
    assert known.same_site(scope(host))
    assert not known.same_site(scope(host, ("sec-fetch-site", "same-site")))
    assert not unknown.same_site(scope(host, ("origin", "https://a.example"), ("sec-fetch-site", "cross-site")))


def test_the_setting_decides_whether_the_browser_uses_tls() -> None:
    """A proxy may speak plain HTTP to us."""
    assert PublicSite("https://a.example").is_https(scope())
    assert not PublicSite("http://a.example").is_https(scope(scheme="https"))
    assert PublicSite().is_https(scope(scheme="https"))
