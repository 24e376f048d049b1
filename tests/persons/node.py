"""A gateway with its server in a task of its own, so that nodes start and stop in any order."""

import contextlib
from dataclasses import dataclass, field
from typing import Any

import anyio

from cryptomarket.app.gateway import Gateway
from cryptomarket.app.uvicorn_protocol import HandoverProtocol
from cryptomarket.errors import CacheUnavailable
from tests.web.site import running_server

__all__ = ["Node"]


@dataclass
class Node:
    """A gateway with its server, which run in a task of their own until stopped."""

    gateway: Gateway
    url: str = ""
    graceful: bool = True
    started: anyio.Event = field(default_factory=anyio.Event)
    stopping: anyio.Event = field(default_factory=anyio.Event)
    stopped: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        """Serve until stopped; without ``graceful`` the node ends as if it was killed."""
        async with self.gateway.running(), running_server(self.gateway.app, http=HandoverProtocol) as self.url:
            self.started.set()
            await self.stopping.wait()
            if self.graceful:
                await self.gateway.drain()
            else:
                await self.gateway.manager.drain(0)
        self.stopped.set()

    def renewal(self) -> Any:
        """The leader's renewal of tokens, None while this node does not lead."""
        return getattr(getattr(self.gateway._leadership.role, "_worker", None), "_renewal", None)

    async def cache_answers(self) -> bool:
        """Whether the cache of this node answers."""
        with contextlib.suppress(CacheUnavailable):
            await self.gateway.persons.sessions.person("nobody")
            return True
        return False
