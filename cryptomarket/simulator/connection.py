"""WebSocket and HTTP on one port, at the level of bytes, so that faults can break connections.

The ``Upgrade`` header distinguishes WebSocket requests. Everything runs in
callbacks of the event loop: no task, no queue.
"""

import asyncio
import socket
from http import HTTPStatus
from typing import Protocol, cast

import h11
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from .encoding import payload_of
from .http import HttpCaller, HttpResponse
from .shared_state import SharedState
from .websocket_session import WebSocketSession

__all__ = ["ConnectionOwner", "ServerConnection"]

#: A reader with more unread bytes than this is disconnected (``connection_too_slow``).
MOST_UNREAD = 8 * 1024 * 1024
LONGEST_HEAD = 64 * 1024
#: Old clients add a slash.
PATHS = ("/ws/api/v2", "/ws/api/v2/")
#: The first byte of a whole text frame.
TEXT = 0x81


class ConnectionOwner(Protocol):
    """What a connection needs of the exchange."""

    state: SharedState

    def opened(self, link: "ServerConnection") -> bool: ...

    def closed(self, link: "ServerConnection") -> None: ...

    def session(self, link: "ServerConnection") -> WebSocketSession: ...

    def received(self, link: "ServerConnection", text: str | bytes) -> None: ...

    def http(
        self, caller: HttpCaller, verb: str, target: str, headers: dict[str, str], body: bytes
    ) -> HttpResponse: ...


class ServerConnection(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, owner: ConnectionOwner) -> None:
        self.session: WebSocketSession | None = None
        self.caller: HttpCaller | None = None
        self.address = ""
        #: Cleared while the peer reads more slowly than the exchange writes.
        self.writable = asyncio.Event()
        self.writable.set()
        #: The connection stays open and sends nothing; ``ignores_input``: it does not read either, not even pings.
        self.ignores_output = False
        self.ignores_input = False
        self.transport: asyncio.Transport
        self._owner = owner
        self._head = b""
        self._allowed = True
        self._websocket: ServerProtocol | None = None
        self._http: h11.Connection | None = None
        self._request: h11.Request | None = None
        self._body = b""
        self._message: list[Frame] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self._allowed = self._owner.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable.set()
        self._owner.closed(self)
        if self.session is not None:
            self.session.closed()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def eof_received(self) -> bool:
        if self._websocket is not None:
            self._websocket.receive_eof()
        return False

    def data_received(self, data: bytes) -> None:
        if self.ignores_input:
            return
        if self._websocket is not None:
            self._feed_websocket(self._websocket, data)
        elif self._http is not None and self.caller is not None and self._http.their_state is not h11.IDLE:
            self._feed_http(self._http, self.caller, data)
        else:  # a new request; the next one on a kept connection may be a WebSocket handshake
            self._head += data
            if b"\r\n\r\n" in self._head:
                self._choose()
            elif len(self._head) > LONGEST_HEAD:
                self.transport.abort()

    def _choose(self) -> None:
        head, self._head = self._head, b""
        if b"upgrade: websocket" in head.partition(b"\r\n\r\n")[0].lower() and self._allowed:
            # Larger frames than this are an attack; those over 32 kB are answered with an error.
            self._websocket = ServerProtocol(max_size=2**20, extensions=[ServerPerMessageDeflateFactory()])
            self._feed_websocket(self._websocket, head)
        else:
            self._http = self._http or h11.Connection(h11.SERVER)
            self.caller = self.caller or HttpCaller(self.address)
            self._feed_http(self._http, self.caller, head)

    # WebSocket

    def _feed_websocket(self, protocol: ServerProtocol, data: bytes) -> None:
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Handshake):
                self._shake_hands(protocol, event)
            elif isinstance(event, Frame):
                self._frame(event)
        self._flush(protocol)

    def _shake_hands(self, protocol: ServerProtocol, request: Handshake) -> None:
        if request.path.partition("?")[0] not in PATHS:
            protocol.send_response(protocol.reject(HTTPStatus.NOT_FOUND, "not here\n"))
            return
        active_faults = self._owner.state.active_faults
        if active_faults.refuse_connections:
            protocol.send_response(protocol.reject(HTTPStatus.SERVICE_UNAVAILABLE, "not now\n"))
            return
        response = protocol.accept(request)
        protocol.send_response(response)
        if protocol.state is OPEN:
            self._flush(protocol)
            self.session = self._owner.session(self)
            if active_faults.drop_at_once:
                self.drop()

    def _frame(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        self._message.append(frame)
        if frame.fin:
            data = b"".join(bytes(part.data) for part in self._message)
            self._message.clear()
            if self.session is not None and not self.ignores_output:
                self._owner.received(self, data)

    def _flush(self, protocol: ServerProtocol) -> None:
        for data in protocol.data_to_send():
            if data:
                self.write(data)
            elif self.transport.can_write_eof():
                self.transport.write_eof()
        if protocol.close_expected() and not self.transport.is_closing():
            # The closing handshake is sent: close after it is written.
            self.transport.close()

    def send(self, frame: bytes) -> None:
        """Send one finished WebSocket frame, compressed where the client offered it."""
        protocol = self._websocket
        if protocol is None or protocol.state is not OPEN or self.ignores_output:
            return
        if protocol.extensions and frame[0] == TEXT:
            protocol.send_text(payload_of(frame))
            self._flush(protocol)
        else:
            self.write(frame)
        if self.transport.get_write_buffer_size() > MOST_UNREAD:
            self.transport.abort()  # connection_too_slow

    def write(self, data: bytes) -> None:
        """Sends raw bytes."""
        if not self.transport.is_closing() and not self.ignores_input:
            self.transport.write(data)

    def close(self, code: int, reason: str = "") -> None:
        """End the connection; code 0 is without a closing handshake."""
        protocol = self._websocket
        if code and protocol is not None and protocol.state is OPEN:
            protocol.send_close(code, reason)
            self._flush(protocol)
        self.drop()

    def drop(self) -> None:
        """Close the TCP connection after what is written."""
        self.transport.close()

    def reset(self) -> None:
        """Ends the TCP connection with a reset, as a rebooted host does."""
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.transport.abort()

    # HTTP

    def _feed_http(self, connection: h11.Connection, caller: HttpCaller, data: bytes) -> None:
        try:
            connection.receive_data(data)
            self._http_events(connection, caller)
        except h11.RemoteProtocolError:
            self.transport.close()

    def _http_events(self, connection: h11.Connection, caller: HttpCaller) -> None:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                self._request, self._body = event, b""
            elif isinstance(event, h11.Data):
                self._body += bytes(event.data)
                if len(self._body) > 2**20:
                    self.transport.abort()
                    return
            elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                answer = self._answer(caller, self._request)
                delay_seconds = max(self._owner.state.active_faults.delay_seconds, answer.delay_seconds)
                if delay_seconds:
                    later = asyncio.get_running_loop().call_later
                    later(delay_seconds, self._write_late, connection, caller, answer)
                    return
                if not self._write_answer(connection, answer):
                    return
            elif event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return

    def _answer(self, caller: HttpCaller, request: h11.Request) -> HttpResponse:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
        if self._allowed:
            verb, target = request.method.decode("ascii"), request.target.decode("latin-1")
            return self._owner.http(caller, verb, target, headers, self._body)
        return HttpResponse(429, b"Too Many Requests", "text/plain", close=True)

    def _write_late(self, connection: h11.Connection, caller: HttpCaller, answer: HttpResponse) -> None:
        if not self.transport.is_closing() and self._write_answer(connection, answer):
            self._http_events(connection, caller)

    def _write_answer(self, connection: h11.Connection, answer: HttpResponse) -> bool:
        """Write the answer; returns whether the connection stays open for a next request."""
        fields = [("content-type", answer.content_type), ("content-length", str(len(answer.body))), *answer.headers]
        fields += [("connection", "close")] if answer.close else []
        for event in (
            h11.Response(status_code=answer.status, headers=fields),
            h11.Data(data=answer.body),
            h11.EndOfMessage(),
        ):
            self.write(connection.send(event) or b"")
        if connection.our_state is not h11.DONE:
            self.transport.close()
            return False
        connection.start_next_cycle()
        return True
