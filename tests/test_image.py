"""The image and the compose file: exact versions, no root, nothing writable, databases out of reach."""

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
from typing import Any

import pytest
import yaml
from packaging.version import Version

from cryptomarket.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]

#: Older images have published vulnerabilities.
IMAGE_FLOORS = {
    "python": ["3.12.9", "3.13.13", "3.14.4"],  # CVE-2024-12254: asyncio writes without backpressure
    "redis": ["8.2.9", "8.4.6", "8.6.6", "8.8.2", "8.10.1"],  # CVE-2026-81934 and those before it
    "postgres": ["17.10", "18.4"],  # CVE-2026-6473, CVE-2026-6637
}


@functools.cache
def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, rest), with continued lines joined and comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (word.upper(), rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


@functools.cache
def final_stage() -> list[tuple[str, str]]:
    starts = [index for index, (word, _) in enumerate(instructions()) if word == "FROM"]
    assert len(starts) > 1, "what builds and what runs are two stages"
    return instructions()[starts[-1] :]


@functools.cache
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def images() -> list[str]:
    from_dockerfile = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    return from_dockerfile + [service["image"] for service in compose()["services"].values() if "build" not in service]


def test_the_image_does_not_run_as_root() -> None:
    """The process has a number of its own, which Kubernetes can check too."""
    (user,) = [rest for word, rest in final_stage() if word == "USER"]
    assert int(user) > 0
    assert compose()["services"]["gateway"]["user"].split(":")[0] == user


def test_the_image_starts_the_gateway_for_others() -> None:
    """The command listens on all addresses of the container, and signals reach it without a shell between."""
    (command,) = [json.loads(rest) for word, rest in final_stage() if word == "CMD"]
    assert command == ["cryptomarket", "serve", "--host", "0.0.0.0"]


def test_the_image_installs_only_what_is_locked() -> None:
    """Every installation checks hashes, or takes our own wheel without looking anywhere else."""
    installs = re.findall(
        r"pip (?:--python \S+ )?install [^&]*", " ".join(rest for word, rest in instructions() if word == "RUN")
    )
    assert installs
    assert [line for line in installs if "--require-hashes" not in line and "--no-index --no-deps" not in line] == []
    assert "pip uninstall" in " ".join(rest for word, rest in final_stage() if word == "RUN")
    assert not re.search(r"\b(apt-get|curl|gcc|build-essential)\b", " ".join(rest for _, rest in instructions()))


def test_everything_copied_into_the_image_is_let_in() -> None:
    """`.dockerignore` starts from nothing, lets in what the Dockerfile copies, and never `.env`."""
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


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/healthz" else 404)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """A server on a free port that answers `/healthz` with its `status`."""
    with HTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (500, False)])
def test_the_health_check_tells_well_from_ill(server: HTTPServer, status: int, healthy: bool) -> None:
    """The check of the image is a command that runs with Python alone and follows the configured port."""
    server.status = status  # type: ignore[attr-defined]
    assert (_check_health(server.server_port) == 0) is healthy


def test_the_health_check_notices_that_nobody_listens(server: HTTPServer) -> None:
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


def test_images_are_pinned_above_known_vulnerabilities() -> None:
    """Each image names one exact version, at or above the floor of its line."""
    for image in images():
        name, _, tag = image.partition(":")
        match = re.match(r"\d+(?:\.\d+)+", tag)
        assert match, f"{image} names no exact version"
        version = Version(match[0])
        assert version >= min(map(Version, IMAGE_FLOORS[name])), image
        of_line = [
            Version(floor) for floor in IMAGE_FLOORS[name] if Version(floor).release[:-1] == version.release[:-1]
        ]
        assert all(version >= floor for floor in of_line), f"{image} is below {of_line[0]}"


@pytest.mark.parametrize("name", ["gateway", "postgres", "redis"])
def test_every_service_is_confined(name: str) -> None:
    """A broken service can neither write its image, gain rights, eat the machine, nor stay down."""
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["user"].split(":")[0] not in ("0", "root")
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["restart"] == "unless-stopped"
    assert any(place.startswith("/tmp:") and "size=" in place for place in service["tmpfs"])


def test_services_wait_for_each_other() -> None:
    """The gateway starts when the databases answer; its own check is that of the image."""
    services = compose()["services"]
    assert set(services) == {"gateway", "postgres", "redis"}
    assert all(services[name]["healthcheck"]["test"] for name in ("postgres", "redis"))
    assert services["gateway"]["depends_on"] == {
        name: {"condition": "service_healthy"} for name in ("postgres", "redis")
    }


def test_the_databases_are_out_of_reach() -> None:
    """Only the gateway has a port outside, for this machine alone; the databases have no way out either."""
    services = compose()["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["gateway"]
    assert all(port.startswith("127.0.0.1:") for port in services["gateway"]["ports"])
    assert services["postgres"]["networks"] == services["redis"]["networks"] == ["databases"]
    assert compose()["networks"]["databases"]["internal"] is True


def test_every_variable_of_the_compose_file_is_a_setting() -> None:
    """A setting that was renamed is renamed here too."""
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / "Dockerfile").read_text()
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(re.findall(PREFIX + r"[A-Z_]*[A-Z]", text)) <= settings


@pytest.mark.parametrize("password", [None, "s3cret"])
def test_the_gateway_accepts_what_compose_gives_it(monkeypatch: pytest.MonkeyPatch, password: str | None) -> None:
    """The addresses and the port of the compose file pass the check of the settings, with and without `.env`."""
    chosen = {"POSTGRES_PASSWORD": password, "REDIS_PASSWORD": password} if password else {}
    for name, value in compose()["services"]["gateway"]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{(\w+):-(\w*)\}", lambda match: chosen.get(match[1], match[2]), value))
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    assert settings.database_url.get_secret_value() == (
        f"postgresql+asyncpg://cryptomarket:{password or 'cryptomarket'}@postgres/cryptomarket"
    )
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == f"redis://:{password or 'cryptomarket'}@redis:6379/0"
    assert settings.port == 8000


def test_the_container_outlives_its_drain() -> None:
    """The streams get their clean end before the container is killed."""
    grace = compose()["services"]["gateway"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > Settings.model_fields["drain_seconds"].default + 10
