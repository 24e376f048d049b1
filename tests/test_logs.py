"""Log lines: text or JSON, one line each, and without secrets."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from cryptomarket.logs import configure_logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_a_json_line_parses_and_cannot_be_forged() -> None:
    """A line break in a value does not start a new line."""
    out = io.StringIO()
    configure_logs(form="json", stream=out)
    structlog.get_logger("cryptomarket.test").info("something happened", reason="a\nlevel=critical")
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["reason"] == "a\nlevel=critical"


def test_libraries_log_in_the_same_form() -> None:
    """A warning of a library is a line like ours; its informational lines are not shown."""
    out = io.StringIO()
    configure_logs(form="json", stream=out)
    logging.getLogger("uvicorn.error").info("informational")
    logging.getLogger("uvicorn.error").warning("wrong")
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["event"] == "wrong"


@pytest.mark.parametrize("library", ["aiosqlite", "httpx2", "sqlalchemy"])
def test_the_values_of_statements_and_requests_are_never_logged(library: str) -> None:
    """Not at level debug either: they hold e-mail addresses."""
    out = io.StringIO()
    configure_logs("DEBUG", stream=out)
    logging.getLogger(f"{library}.core").debug("executing INSERT with %s", "demo@example.com")
    logging.getLogger(library).debug("executing INSERT with %s", "demo@example.com")
    assert out.getvalue() == ""


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_secret_is_masked(form: str) -> None:
    """Values under secret names and local variables of a traceback are not written."""
    out = io.StringIO()
    configure_logs(form=form, stream=out)

    def failing(client_secret: str) -> None:
        raise ValueError("broken")

    try:
        failing("hunter2")
    except ValueError:
        structlog.get_logger().exception("failed", access_token="hunter2", Authorization="Bearer hunter2")
    assert "broken" in out.getvalue()
    assert "hunter2" not in out.getvalue().replace('failing("hunter2")', "")


def test_each_json_line_names_its_node() -> None:
    """Lines of ours and of libraries have the name of the node."""
    out = io.StringIO()
    configure_logs(form="json", stream=out, node="n1")
    structlog.get_logger("cryptomarket.test").info("ours")
    logging.getLogger("uvicorn.error").warning("theirs")
    assert [json.loads(line)["node"] for line in out.getvalue().splitlines()] == ["n1", "n1"]


def test_loggers_of_the_server_stay_as_they_are() -> None:
    """Under another server its own lines go where its options send them."""
    out, theirs = io.StringIO(), io.StringIO()
    server, error = logging.getLogger("uvicorn"), logging.getLogger("uvicorn.error")
    before = (server.handlers, server.propagate, error.level)
    server.handlers, server.propagate = [logging.StreamHandler(theirs)], False
    error.setLevel(logging.INFO)
    try:
        configure_logs(stream=out, keep=("uvicorn", "uvicorn.error"))
        error.info("running on an address")
    finally:
        server.handlers, server.propagate = before[:2]
        error.setLevel(before[2])
    assert theirs.getvalue() == "running on an address\n"
    assert out.getvalue() == ""
