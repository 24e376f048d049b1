"""The listening socket of the server, and whether it hands connections over."""

import socket
import sys
from typing import Any

import pytest
from structlog.testing import capture_logs
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from cryptomarket.app.server import (
    RECEIVE_BUFFER_BYTES,
    SEND_BUFFER_BYTES,
    UNACKNOWLEDGED_MS,
    bound_socket,
    connection_limits,
    http_protocol,
)
from cryptomarket.app.uvicorn_protocol import HandoverProtocol
from cryptomarket.errors import StartError


def test_a_port_in_use_is_named() -> None:
    """The StartError names the address and the option for another port."""
    with bound_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"127\.0\.0\.1:{port}.*--port"):
            bound_socket("127.0.0.1", port)


def test_an_address_that_is_not_ours_is_named() -> None:
    """The StartError names an address that this machine does not have."""
    with pytest.raises(StartError, match=r"192\.0\.2\.1"):
        bound_socket("192.0.2.1", 0)


def test_a_free_port_listens() -> None:
    """Port 0 selects a free port, which accepts connections before the server runs."""
    with bound_socket("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        pass


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no such option")
def test_accepted_connections_have_a_timeout_for_unacknowledged_data() -> None:
    """An accepted connection inherits TCP_USER_TIMEOUT from its listener."""
    with bound_socket("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNACKNOWLEDGED_MS


def test_accepted_connections_have_small_buffers() -> None:
    """An accepted connection inherits buffers that bound what a client can hold in the kernel."""
    with bound_socket("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER_BYTES
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 2 * RECEIVE_BUFFER_BYTES


def test_connections_are_handed_over() -> None:
    """The installed uvicorn has everything that the handover uses, and nothing is logged."""
    with capture_logs() as logs:
        assert http_protocol().func is HandoverProtocol
    assert logs == []


@pytest.mark.parametrize("cause", ["no httptools", "another method", "another cycle", "no Python function"])
def test_a_server_that_cannot_hand_over_says_why(monkeypatch: pytest.MonkeyPatch, cause: str) -> None:
    """uvicorn's own protocol serves the streams, and a warning has the reason and the version of uvicorn."""

    def without_names(self: Any) -> None: ...

    if cause == "no httptools":
        monkeypatch.delitem(sys.modules, "cryptomarket.app.uvicorn_protocol")
        monkeypatch.delitem(sys.modules, "uvicorn.protocols.http.httptools_impl")
        monkeypatch.setitem(sys.modules, "httptools", None)
    elif cause == "another method":
        monkeypatch.delattr(HttpToolsProtocol, "on_headers_complete")
    elif cause == "another cycle":
        monkeypatch.setattr(RequestResponseCycle, "__init__", without_names)
    else:
        monkeypatch.setattr(RequestResponseCycle, "__init__", object.__init__)
    with capture_logs() as logs:
        assert http_protocol() == "auto"
    (line,) = logs
    assert line["event"] == "socket handover unavailable, streams stay ASGI responses"
    assert line["log_level"] == "warning"
    assert line["reason"]
    assert line["uvicorn"]


@pytest.mark.parametrize("host", ["192.0.2.7", "::ffff:192.0.2.7"])
def test_connections_of_a_trusted_proxy_are_not_counted_for_it(host: str) -> None:
    """However its address is written; another address has a limit."""
    limits = connection_limits(lambda: 0, 100, ["192.0.2.0/24"])
    assert [limits.opened(str(i), host) for i in range(200)] == [None] * 200
    others = [limits.opened(f"other {i}", host.replace("192.0.2", "192.0.3")) for i in range(200)]
    assert others.count(None) == 100
