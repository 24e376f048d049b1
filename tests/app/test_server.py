"""The server around the application: its address and its order of stopping."""

import socket

import pytest

from cryptomarket.app.server import UNACKNOWLEDGED_MS, bound_socket
from cryptomarket.errors import StartError


def test_a_port_in_use_is_named() -> None:
    """The refusal names the address and the way out."""
    with bound_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"127\.0\.0\.1:{port}.*--port"):
            bound_socket("127.0.0.1", port)


def test_an_address_that_is_not_ours_is_named() -> None:
    """Nothing is left open after a refusal."""
    with pytest.raises(StartError, match=r"192\.0\.2\.1"):
        bound_socket("192.0.2.1", 0)


def test_a_free_port_listens() -> None:
    """Port 0 takes a free one, and a connection is accepted before anybody serves."""
    with bound_socket("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        pass


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no such option")
def test_a_client_that_vanishes_is_noticed() -> None:
    """An accepted connection has the limit of its listener for what is not acknowledged."""
    with bound_socket("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNACKNOWLEDGED_MS
