"""How the program speaks to operators: one line a change of state, for people as text, for machines as JSON."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

__all__ = ["configure_logs"]

#: A second net only: the first is that nobody passes a secret to a log.
_SECRET_WORDS = ("secret", "token", "password", "authorization", "cookie", "signature")


def _without_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if any(word in name.lower() for word in _SECRET_WORDS):
            event[name] = "***"
    return event


def _naming(node: str) -> structlog.typing.Processor:
    def name(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["node"] = node
        return event

    return name


def configure_logs(level: str = "INFO", form: str = "text", stream: TextIO | None = None, *, node: str = "") -> None:
    """Send our own lines and those of the libraries through one form to the stream, standard error by default.

    As JSON each line names the node, so that the lines of several can be told apart when they are collected.
    """
    stream = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_secrets,
    ]
    if node and form == "json":
        shared.append(_naming(node))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    # Tracebacks without local variables in either form: a local variable may be a secret.
    last: list[structlog.typing.Processor]
    if form == "json":
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        last = [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()]
    else:
        last = [
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
            )
        ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # Libraries speak at INFO of each request and statement; only what is wrong is of interest here.
    for name in (
        "uvicorn",
        "uvicorn.error",
        "httpx2",
        "httpcore2",
        "alembic",
        "websockets",
        "sqlalchemy",
        "sse_starlette",
    ):
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
        library.setLevel(max(logging.WARNING, logging.getLevelName(level)))
