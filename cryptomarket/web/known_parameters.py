"""Refuses queries that are too long, and parameters that an address does not know.

A mistyped parameter would silently change the answer.
"""

import functools
from collections.abc import Callable, Collection, Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import InvalidParameter
from ..query import check_length, check_names
from .api.problems import problem_response

__all__ = ["KnownParameters"]


class KnownParameters:
    """Answers 422 when a query is too long, has a name that its path does not know, or has a name twice.

    ``known`` returns the names by path; it is called once, at the first query. Of other paths, those of pages and
    files, only the length is checked.
    """

    def __init__(self, app: ASGIApp, known: Callable[[], Mapping[str, Collection[str]]]) -> None:
        self._app = app
        self._known = functools.cache(known)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and scope.get("query_string"):
            names = self._known().get(scope["path"])
            try:
                if names is None:
                    check_length(scope["query_string"])
                else:
                    check_names(scope["query_string"], names)
            except InvalidParameter as exc:
                await problem_response(Request(scope), exc)(scope, receive, send)
                return
        await self._app(scope, receive, send)
