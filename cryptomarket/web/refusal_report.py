"""Reports every refused request of the web application: one place, whichever layer or route refused it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..persons.credential_middleware import LOGIN_PATH
from ..refusals import Refused

__all__ = ["REASON", "RefusalReport"]

#: The key of the request's scope under which the reason of a refusal is found, if it has one of its own.
REASON = "cryptomarket.refusal"

#: The statuses that are refusals, each with the reason of those that have none of their own.
STATUSES = {401: "not_logged_in", 403: "forbidden", 413: "too_large", 421: "host", 429: "rate"}
#: The reason of any other 4xx of a log-in.
LOGIN = "login"


class RefusalReport:
    """Calls ``refused`` for each response of the application that is a refusal, or has a reason in its scope."""

    def __init__(self, app: ASGIApp, refused: Refused) -> None:
        self._app = app
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and look at the status of its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_and_report(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                self._report(scope, message["status"])
            await send(message)

        await self._app(scope, receive, send_and_report)

    def _report(self, scope: Scope, status: int) -> None:
        reason = scope.get(REASON) or STATUSES.get(status)
        if not reason and scope["path"] == LOGIN_PATH and status < 500:
            reason = LOGIN
        if reason:
            client = scope.get("client")
            address = client[0] if client else None
            self._refused(reason, address=address, route=scope["path"], status=status)
