"""The listening socket of the server."""

import socket

import pytest

from cryptomarket.app.server import UNACKNOWLEDGED_MS, bound_socket
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
