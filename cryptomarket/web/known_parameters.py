"""Refuses query parameters that an address does not know: a mistyped one would silently change the answer."""

import functools
from collections.abc import Callable, Collection, Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import InvalidParameter
from ..query import check_names
from .api.problems import problem_response

__all__ = ["KnownParameters"]


class KnownParameters:
    """Answers 422 when a query has a name that its path does not know, or a name twice.

    ``known`` returns the names by path; it is called once, at the first query. Other paths are not checked: files may
    carry a cache-buster.
    """

    def __init__(self, app: ASGIApp, known: Callable[[], Mapping[str, Collection[str]]]) -> None:
        self._app = app
        self._known = functools.cache(known)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and scope.get("query_string"):
            names = self._known().get(scope["path"])
            if names is not None:
                try:
                    check_names(scope["query_string"], names)
                except InvalidParameter as exc:
                    await problem_response(Request(scope), exc)(scope, receive, send)
                    return
        await self._app(scope, receive, send)
