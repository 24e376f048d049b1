"""The container image: exact versions, no root, and a health check of the configured port."""

import functools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cryptomarket.settings import PREFIX

from .composition import composition
from .supply.locks import above_floor

ROOT = Path(__file__).parents[1]


@functools.cache
def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile as (instruction, rest), without comments and with continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (word.upper(), rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


@functools.cache
def final_stage() -> list[tuple[str, str]]:
    starts = [index for index, (word, _) in enumerate(instructions()) if word == "FROM"]
    assert len(starts) > 1, "the image is built and run in two stages"
    return instructions()[starts[-1] :]


def test_the_image_does_not_run_as_root() -> None:
    """The user is a number other than 0, which Kubernetes can check."""
    (user,) = [rest for word, rest in final_stage() if word == "USER"]
    assert int(user) > 0
    assert composition().services["gateway"].user.split(":")[0] == user


def test_the_image_serves_on_all_addresses() -> None:
    """The command listens on all addresses of the container, and receives signals without a shell between."""
    (command,) = [json.loads(rest) for word, rest in final_stage() if word == "CMD"]
    assert command == ["cryptomarket", "serve", "--host", "0.0.0.0"]


def test_the_image_installs_only_what_is_locked() -> None:
    """Every installation checks hashes, or installs our own wheel without an index."""
    installs = re.findall(
        r"pip (?:--python \S+ )?install [^&]*", " ".join(rest for word, rest in instructions() if word == "RUN")
    )
    assert installs
    assert [line for line in installs if "--require-hashes" not in line and "--no-index --no-deps" not in line] == []
    assert "pip uninstall" in " ".join(rest for word, rest in final_stage() if word == "RUN")
    assert not re.search(r"\b(apt-get|curl|gcc|build-essential)\b", " ".join(rest for _, rest in instructions()))


def test_dockerignore_allows_exactly_what_is_copied() -> None:
    """`.dockerignore` excludes everything except what the Dockerfile copies, and always `.env`."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    copied = {
        source.split("/")[0]
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert "**/.env" in rules


class _Reply(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/healthz" else 404)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """A server on a free port that answers `/healthz` with its `status`."""
    with HTTPServer(("127.0.0.1", 0), _Reply) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (500, False)])
def test_the_health_check_follows_the_status(server: HTTPServer, status: int, healthy: bool) -> None:
    """The health check runs with Python alone, and requests the configured port."""
    server.status = status  # type: ignore[attr-defined]
    assert (_check_health(server.server_port) == 0) is healthy


def test_the_health_check_fails_without_a_listener(server: HTTPServer) -> None:
    """A process that does not listen is not healthy."""
    port = server.server_port
    server.socket.close()
    assert _check_health(port) != 0


def _check_health(port: int) -> int:
    (check,) = [rest for word, rest in final_stage() if word == "HEALTHCHECK"]
    python, *arguments = json.loads(check.partition(" CMD ")[2])
    assert python == "python"
    environment = {**os.environ, PREFIX + "PORT": str(port)}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, timeout=20, check=False)
    return done.returncode


def test_base_images_are_pinned() -> None:
    """Each base image has one exact version, at or above the floor of its release line."""
    for word, rest in instructions():
        if word == "FROM":
            above_floor(rest.split()[0])
