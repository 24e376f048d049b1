"""Connections through a proxy only, with the given certificate authority only; no output contains the password."""

import gc
from pathlib import Path

import pytest

from cryptomarket.deribit.client import DeribitClient
from cryptomarket.deribit.http_client import HttpClient
from cryptomarket.errors import ExchangeUnreachable, StartError
from cryptomarket.model import UpstreamState
from cryptomarket.simulator.exchange import running_exchange

from .following import door_at, following
from .proxies import PASSWORD, USER, authority, http_proxy, socks_proxy
from .scripted import scripted_exchange

#: A name that only the proxies of the tests can lead anywhere: a direct connection fails at once.
NAME = "exchange.invalid"
PROXIES = {"http": http_proxy, "socks5": socks_proxy, "socks5h": socks_proxy}


@pytest.fixture(autouse=True)
def _misleading_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies for other programs, which must not count."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")


@pytest.mark.parametrize("scheme", list(PROXIES))
async def test_every_connection_goes_through_the_proxy(scheme: str) -> None:
    """The exchange is reached by a name that only the proxy knows; its count is the exchange's count."""
    async with running_exchange(time_scale=10) as exchange, PROXIES[scheme](exchange.port) as proxy:
        address = f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{proxy.port}"
        async with following(f"ws://{NAME}/ws/api/v2", proxy=address) as follower:
            await follower.tick_of("btc_usd")
            async with HttpClient(f"http://{NAME}/api/v2", proxy=address) as api:
                assert "btc_usd" in await api.tickers()
        assert {host for host, _ in proxy.targets} == {NAME}
        assert len(proxy.targets) == exchange.connections


async def refused_call(proxy: str) -> str:
    """The error of a call over HTTP that the proxy refuses."""
    async with HttpClient(f"http://{NAME}/api/v2", proxy=proxy, tries=1) as api:
        try:
            await api.call("public/get_time")
        except ExchangeUnreachable as exc:
            return f"{exc} {exc!r} {exc.__cause__} {api!r}"
    raise AssertionError("the proxy let us through")


# httpcore2 forgets to close its socket when a SOCKS5 proxy turns it away; it is collected here, where it is expected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("scheme", list(PROXIES))
async def test_wrong_proxy_credentials_are_said_without_being_repeated(
    scheme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The password is in no log line, no state and no error."""
    async with running_exchange() as exchange, PROXIES[scheme](exchange.port) as proxy:
        address = f"{scheme}://{USER}:wrong-{PASSWORD}@127.0.0.1:{proxy.port}"
        async with following(f"ws://{NAME}/ws/api/v2", proxy=address) as follower:
            await follower.until(lambda: UpstreamState.DOWN in follower.states)
            said = f"{follower.messages} {follower.deribit_client!r} {follower.deribit_client.statistics()}"
        said += await refused_call(address)
        assert proxy.refused >= 2
    gc.collect()
    out, err = capsys.readouterr()
    assert PASSWORD not in f"{said} {out} {err}"


async def test_without_a_proxy_none_of_the_environment_is_used() -> None:
    """A proxy meant for something else must not see prices or logins."""
    async with running_exchange(time_scale=10) as exchange, following(exchange.ws_url) as follower:
        await follower.tick_of("btc_usd")
        async with HttpClient(exchange.http_url) as api:
            await api.call("public/get_time")


@pytest.mark.parametrize("proxy", ["ftp://h:1", "http://h", "http://user@h:1", "http://:99999999", "canary"])
def test_an_unusable_proxy_stops_the_start_without_being_repeated(proxy: str) -> None:
    """The error contains what was expected, not the value."""
    with pytest.raises(StartError) as caught:
        DeribitClient(door_at("ws://x/"), tickers=(), publish=lambda _: None, proxy=proxy)
    assert proxy not in str(caught.value)


def test_an_unusable_address_stops_the_start() -> None:
    """Only WebSocket addresses can be followed."""
    with pytest.raises(StartError, match="ws://"):
        DeribitClient(door_at("https://x/"), tickers=(), publish=lambda _: None)


def test_an_unreadable_authority_stops_the_start(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(StartError, match="cannot read certificates"):
        DeribitClient(door_at("wss://x/"), tickers=(), publish=lambda _: None, ca_file=str(tmp_path / "ca.pem"))


async def test_our_own_authority_is_trusted_through_a_proxy(tmp_path: Path) -> None:
    """TLS runs end to end through the tunnel, with the certificate of a private authority."""
    context, ca_file = authority(tmp_path)
    async with scripted_exchange(ssl=context) as exchange:
        async with http_proxy(int(exchange.url.split(":")[2].split("/")[0])) as proxy:
            address = f"http://{USER}:{PASSWORD}@127.0.0.1:{proxy.port}"
            async with following(f"wss://{NAME}/ws/api/v2", proxy=address, ca_file=ca_file) as follower:
                await follower.tick_of("btc_usd")
        assert proxy.targets == [(NAME, 443)]


async def test_an_unknown_authority_is_refused_and_said(tmp_path: Path) -> None:
    """A peer with another certificate receives nothing, and the reason tells the operator."""
    context, _ = authority(tmp_path)
    async with scripted_exchange(ssl=context) as exchange:
        async with following(exchange.url.replace("ws://", "wss://")) as follower:
            await follower.until(lambda: UpstreamState.DOWN in follower.states)
            assert follower.deribit_client.statistics().reason == "the certificate of the exchange is not trusted"
        assert exchange.requests == []
