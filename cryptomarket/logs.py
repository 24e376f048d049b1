"""The configuration of logging: one line for each change of state, as text or as JSON."""

import logging
import sys
from collections.abc import Collection, MutableMapping
from logging.handlers import WatchedFileHandler
from typing import Any, TextIO

import structlog

__all__ = ["configure_logs"]

#: Fields whose names contain one of these are masked. A second defence only: no secret may be passed to a log.
_SECRET_WORDS = ("secret", "token", "password", "authorization", "cookie", "signature")
#: At INFO and DEBUG these libraries log each request, and each statement with its values; only their warnings matter.
_LIBRARIES = frozenset(
    (
        "aiosqlite",
        "alembic",
        "httpcore2",
        "httpx2",
        "sqlalchemy",
        "sse_starlette",
        "uvicorn",
        "uvicorn.error",
        "websockets",
    )
)


def _without_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if any(word in name.lower() for word in _SECRET_WORDS):
            event[name] = "***"
    return event


def _node_adder(node: str) -> structlog.typing.Processor:
    def add_node(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["node"] = node
        return event

    return add_node


def configure_logs(
    level: str = "INFO",
    form: str = "text",
    stream: TextIO | None = None,
    *,
    node: str = "",
    file: str | None = None,
    colors: bool | None = None,
    keep: Collection[str] = (),
) -> None:
    """Write our log lines and those of the libraries in one form to ``file``, else to ``stream`` or standard error.

    ``form`` is ``text`` or ``json``. In JSON each line has the field ``node``, because lines of several nodes are
    collected together. Text has ``colors``, by default on a terminal. The file may be moved away while it is written.
    The loggers named in ``keep`` stay as they are.
    """
    stream = stream or sys.stderr
    colors = not file and stream.isatty() if colors is None else colors
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_secrets,
    ]
    if node and form == "json":
        shared.append(_node_adder(node))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    # Tracebacks show no local variables, which may be secrets.
    last: list[structlog.typing.Processor]
    if form == "json":
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        last = [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()]
    else:
        last = [
            structlog.dev.ConsoleRenderer(
                colors=colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
            )
        ]
    handler = WatchedFileHandler(file, encoding="utf-8") if file else logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _LIBRARIES.difference(keep):
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
        library.setLevel(max(logging.WARNING, logging.getLevelName(level)))
