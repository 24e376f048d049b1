"""Tells the streams of this node that their logins wait, and lets the secrets of those logins live meanwhile."""

import contextlib
from collections.abc import Callable

import anyio
import msgspec
from anyio.abc import TaskStatus

from ..errors import CacheUnavailable
from ..model import LoginsWaiting, Message
from .events import LoginWaitingEvent
from .login_secrets import LoginSecrets

__all__ = ["WaitingNotices"]


class WaitingNotices:
    """Any node's side of the line of logins.

    ``send`` writes a text to all streams of a browser session on this node and returns how many they are. Without a
    stream on any node the secret of a login is not extended; it expires, and the login fails without a call.
    """

    def __init__(self, login_secrets: LoginSecrets, *, send: Callable[[str, str], int]) -> None:
        self._login_secrets = login_secrets
        self._send = send
        self._lives: dict[str, float] = {}
        self._wake_up = anyio.Event()

    def on_message(self, message: Message) -> None:
        """Send their places to the sessions that have streams here."""
        if not isinstance(message, LoginsWaiting):
            return
        for login in message.logins:
            event = msgspec.json.encode(LoginWaitingEvent(login.place, login.seconds)).decode()
            if self._send(login.session, event):
                self._lives[login.login_id] = login.life_seconds
                self._wake_up.set()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Extend secrets until cancelled."""
        task_status.started()
        while True:
            await self._wake_up.wait()
            self._wake_up = anyio.Event()
            lives, self._lives = self._lives, {}
            with contextlib.suppress(CacheUnavailable):  # the next notice comes before the secrets expire
                await self._login_secrets.extend(lives)
