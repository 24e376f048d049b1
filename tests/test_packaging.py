"""What surrounds the package: locked requirements, the Makefile, the wheel, the image and the compose file."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from cryptomarket.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
LOCKS = ("build", "lock", "run", "test")
COMMANDS = {"help", "demo", "run", "test", "lint", "check", "lock", "clean"}

#: Older ones have published vulnerabilities, or lack behaviour we rely on.
FLOORS = {
    "anyio": "4.14.2",  # CVE-2026-63374: a certificate matched against the wrong host name
    "cryptography": "50.0.0",  # CVE-2026-69247 and the OpenSSL in earlier wheels
    "h11": "0.16.0",  # CVE-2025-43859: smuggling by chunks
    "httptools": "0.8.0",  # its llhttp: CVE-2024-27982
    "jinja2": "3.1.6",  # CVE-2025-27516: out of the sandbox
    "redis": "4.5.5",  # CVE-2023-28858, CVE-2023-28859: replies to the wrong request
    "sse-starlette": "3.7",  # a watcher task was left behind by every connection
    "starlette": "1.3.1",  # CVE-2026-54283 and seven before it
    "uvicorn": "0.51",  # forwarded addresses
    "websockets": "16.1",  # credentials on redirects
}
IMAGE_FLOORS = {
    "python": ["3.12.9", "3.13.13", "3.14.4"],  # CVE-2024-12254: asyncio writes without backpressure
    "redis": ["8.2.9", "8.4.6", "8.6.6", "8.8.2", "8.10.1"],  # CVE-2026-81934 and those before it
    "postgres": ["17.10", "18.4"],  # CVE-2026-6473, CVE-2026-6637
}


@functools.cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@functools.cache
def locked(name: str) -> dict[str, tuple[Version, int]]:
    """The packages of a lock file: version, and how many hashes it accepts."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    packages = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", line)
            assert match, f"requirements/{name}.txt: not an exact version: {line[:80]}"
            packages[str(canonicalize_name(match[1]))] = (
                Version(match[2]),
                len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", line)),
            )
    return packages


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes(name: str) -> None:
    """A package that was exchanged at the registry is refused, since each is pinned by version and content."""
    packages = locked(name)
    assert packages
    assert [package for package, (_, hashes) in packages.items() if not hashes] == []


@pytest.mark.parametrize("name", LOCKS)
def test_locks_name_no_place(name: str) -> None:
    """A lock file holds no registry's address and no path of the machine that wrote it."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    options = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", text))
    assert options == {"--hash"}
    assert not re.search(r"://|(?<![\w.])[/~]\w|\bfile:|[A-Z]:\\", text)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("run", lambda: project()["project"]["dependencies"]),
        ("test", lambda: project()["project"]["dependencies"]),
        ("test", lambda: project()["project"]["optional-dependencies"]["test"]),
        ("test", lambda: project()["dependency-groups"]["build"]),
        ("build", lambda: project()["dependency-groups"]["build"]),
        ("build", lambda: project()["build-system"]["requires"]),
        ("lock", lambda: project()["dependency-groups"]["lock"]),
    ],
)
def test_locks_satisfy_what_the_project_asks_for(name: str, wanted: Any) -> None:
    """Whoever changes a dependency runs `make lock`."""
    stale = []
    for requirement in map(Requirement, wanted()):
        version, _ = locked(name).get(str(canonicalize_name(requirement.name)), (None, 0))
        if version is None or version not in requirement.specifier:
            stale.append(f"{requirement} (locked: {version})")
    assert not stale, f"requirements/{name}.txt is stale, run `make lock`: {', '.join(stale)}"


@pytest.mark.parametrize("name", ["run", "build"])
def test_tests_run_with_what_is_delivered(name: str) -> None:
    """The environment of the tests holds that of the product, package by package in the same version."""
    assert locked(name).items() <= locked("test").items()


@pytest.mark.parametrize("name", ["run", "test"])
def test_locks_stand_above_known_vulnerabilities(name: str) -> None:
    """No locked package is older than its floor, and the multipart parser nobody needs is absent."""
    low = [
        f"{package} {locked(name)[package][0]}"
        for package, floor in FLOORS.items()
        if locked(name)[package][0] < Version(floor)
    ]
    assert low == []
    assert "python-multipart" not in locked(name)


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run make as from a shell, even when the tests themselves were started by make."""
    if shutil.which("make") is None:
        pytest.skip("no make on this machine")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"
    }
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_help_says_every_command() -> None:
    """`make` alone explains each command, in a line."""
    lines = make().stdout.splitlines()
    assert {line.split()[1] for line in lines} == COMMANDS
    assert all(len(line.split()) > 2 for line in lines)


@pytest.mark.parametrize("python", ["", "false", "/nonexistent/python3"])
def test_a_machine_without_python_is_told_so(tmp_path: Path, python: str) -> None:
    """Where no Python is new enough, make stops with a sentence that says what to do."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = make("demo", f"PYTHON={python}", folder=tmp_path)
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert f"found: {python or 'none on the PATH'}." in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_readme_names_the_commands() -> None:
    """Every command that the README or the CI script calls with make exists."""
    texts = [(ROOT / place).read_text() for place in ("README.md", ".ci/run")]
    named = set(re.findall(r"^\s*(?:timeout .*?)?make ([a-z]+)", "\n".join(texts), re.MULTILINE))
    assert {"demo", "run", "test", "check"} <= named <= COMMANDS


def test_ci_runs_the_same_tests() -> None:
    """The CI script is executable, stops at the first failure and calls `make test`."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()
    assert re.search(r"\bmake test\b", script.read_text())
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=10)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this tree by the locked tools, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.mark.parametrize(
    "place",
    [
        r"cryptomarket/py\.typed",
        r"cryptomarket/web/templates/.+\.html.*",
        r"cryptomarket/web/frontend/.+\.js",
        r"cryptomarket/web/frontend/.+\.css",
        r"cryptomarket/history/migrations/env\.py",
        r"cryptomarket/history/migrations/versions/.+\.py",
        r".+\.dist-info/licenses/LICENSE",
        r".+\.dist-info/entry_points\.txt",
    ],
)
def test_the_wheel_carries_what_running_needs(wheel: zipfile.ZipFile, place: str) -> None:
    """Types, pages, scripts, migrations and the licence are in the wheel, not only in the source tree."""
    assert any(re.fullmatch(place, name) for name in wheel.namelist()), f"nothing in the wheel matches {place}"


def test_the_wheel_carries_nothing_else(wheel: zipfile.ZipFile) -> None:
    """No test, database, compiled file or environment travels."""
    strange = [
        name
        for name in wheel.namelist()
        if not name.startswith(("cryptomarket/", "cryptomarket-"))
        or re.search(r"\.(pyc|db|env|sqlite3)$|__pycache__", name)
    ]
    assert strange == []


def test_the_wheel_starts_by_itself(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """The command works from the unpacked wheel alone, away from the source tree."""
    wheel.extractall(tmp_path)
    code = "import cryptomarket, cryptomarket.cli as cli; print(cryptomarket.__file__, flush=True); cli.main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code, "--help"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))
    assert "serve" in done.stdout


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
