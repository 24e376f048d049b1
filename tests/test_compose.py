"""The compose file and the files that it mounts."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from cryptomarket.settings import PREFIX, Settings, secrets_in_files

from .composition import FILE, composition, environment, filled, megabytes
from .supply.locks import above_floor

ROOT = Path(__file__).parents[1]
SERVICES = sorted(composition().services)
PROGRAMS = ["gateway", "gateway-2", "minimal", "migrate", "worker", "beat"]
PROFILES = sorted({profile for service in composition().services.values() for profile in service.profiles})


def test_every_profile_is_documented() -> None:
    """docs/operate.md names every profile."""
    assert PROFILES == ["celery", "minimal", "observability", "scale"]
    document = (ROOT / "docs" / "operate.md").read_text()
    assert [profile for profile in PROFILES if f"`{profile}`" not in document] == []
    assert set(composition().together()) == {"gateway", "postgres", "redis"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    """A service cannot write its image, gain privileges, or use unlimited processes, space or log."""
    service = composition().services[name]
    assert service.read_only is True
    assert service.cap_drop == ["ALL"]
    assert "no-new-privileges:true" in service.security_opt
    assert service.user.split(":")[0].isdigit()
    assert service.user.split(":")[0] != "0"
    assert service.pids_limit <= 256
    assert any(place.startswith("/tmp:") and "size=" in place for place in service.tmpfs)
    assert {"max-size", "max-file"} <= service.logging.options.keys()


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_services_of_a_profile_fit_into_a_gigabyte(profile: str | None) -> None:
    """The memory limits of the default services and one profile sum to at most 1 GB."""
    assert sum(megabytes(service.mem_limit) for service in composition().together(profile).values()) <= 1024


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check(name: str) -> None:
    """A service has its own or its image's health check; one that runs once has none."""
    service = composition().services[name]
    if service.restart == "no":
        assert service.healthcheck is not None
        assert service.healthcheck.disable
    elif service.healthcheck is None:
        assert service.build == "."  # our image has a health check for its own command
        assert service.command is None
    else:
        assert service.healthcheck.test[0] in ("CMD", "CMD-SHELL")
        assert len(service.healthcheck.test) > 1


@pytest.mark.parametrize("name", SERVICES)
def test_services_wait_for_their_dependencies(name: str) -> None:
    """Each dependency has a reachable condition, and the database is migrated before it is used."""
    services = composition().services
    service = services[name]
    for other, wanted in service.depends_on.items():
        once = services[other].restart == "no"
        assert wanted.condition == ("service_completed_successfully" if once else "service_healthy")
        assert set(services[other].profiles) <= set(service.profiles)
    if "postgres" in environment(name).get("CRYPTOMARKET_DATABASE_URL", ""):
        assert ("postgres" if name == "migrate" else "migrate") in service.depends_on


def test_the_databases_are_on_an_internal_network() -> None:
    """Ports are published on loopback only; the networks of databases and metrics are internal."""
    services, networks = composition().services, composition().networks
    with_ports = {name for name, service in services.items() if service.ports}
    assert with_ports == {"gateway", "minimal", "front", "grafana"}
    for service in services.values():
        assert all(filled(port, {}).startswith("127.0.0.1:") for port in service.ports)
        assert set(service.networks) <= networks.keys()
    assert services["postgres"].networks == services["redis"].networks == ["databases"]
    assert services["prometheus"].networks == ["metrics"]
    assert networks["databases"].internal
    assert networks["metrics"].internal


@pytest.mark.parametrize("name", SERVICES)
def test_every_mount_exists(name: str) -> None:
    """Each mounted file exists and is read-only, and each volume is declared; operators add the certificates."""
    for mount in composition().services[name].volumes:
        source, target, *mode = mount.split(":")
        assert target.startswith("/")
        if source.startswith("./"):
            assert mode == ["ro"]
            assert (ROOT / source).exists() or source == "./deploy/certificates"
        else:
            assert source in composition().volumes


def test_every_variable_of_the_compose_file_is_a_setting() -> None:
    """Every variable is a setting, except `CRYPTOMARKET_FRONT`, which only the compose file uses."""
    text = FILE.read_text() + (ROOT / "Dockerfile").read_text()
    settings = {PREFIX + name.upper() for name in (*Settings.model_fields, *secrets_in_files())}
    assert set(re.findall(PREFIX + r"[A-Z_]*[A-Z]", text)) - settings == {"CRYPTOMARKET_FRONT"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_setting_reaches_our_programs(name: str) -> None:
    """A setting in `.env` reaches each program, except where the container decides; an unset one is left out.

    A new setting is listed under `x-settings` of the compose file.
    """
    decided = {"DATABASE_URL", "REDIS_URL", "PORT", "TRUSTED_PROXIES"} | (
        {"LOG_FORMAT"} if name != "minimal" else set()
    )
    of_the_image = {"HOST", "NODE"}  # the image listens on every address; a name would be the same for all containers
    files = {"DATABASE_URL_FILE", "REDIS_URL_FILE"}
    settings = {field.upper() for field in (*Settings.model_fields, *secrets_in_files())}
    expected = settings - decided - of_the_image - files
    declared = composition().services[name].environment
    assert {variable for variable, value in declared.items() if value is None} == {PREFIX + field for field in expected}
    assert environment(name, {PREFIX + "TICKERS": "sol_usd"})[PREFIX + "TICKERS"] == "sol_usd"
    assert environment(name).keys() == {PREFIX + field for field in decided}


@pytest.mark.parametrize("password", [None, "s3cret"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_our_programs_accept_the_environment_of_compose(
    monkeypatch: pytest.MonkeyPatch, name: str, password: str | None
) -> None:
    """The environment of each service is valid, with and without passwords in `.env`."""
    chosen = {"POSTGRES_PASSWORD": password, "REDIS_PASSWORD": password} if password else {}
    for variable, value in environment(name, chosen).items():
        monkeypatch.setenv(variable, value)
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    database, redis = settings.database_url.get_secret_value(), settings.redis_url
    assert settings.port == 8000
    if name == "minimal":
        assert (database, redis) == ("sqlite+aiosqlite:////data/cryptomarket.db", None)
        return
    assert database == f"postgresql+asyncpg://cryptomarket:{password or 'cryptomarket'}@postgres/cryptomarket"
    account = "celery" if name in ("worker", "beat") else "cryptomarket"
    assert redis is not None
    assert redis.get_secret_value() == f"redis://{account}:{password or 'cryptomarket'}@redis:6379/0"


def test_two_gateways_share_the_encryption_key() -> None:
    """The key is in a shared volume, so that both know a person who logged in."""
    services = composition().services
    assert services["gateway"].volumes == services["gateway-2"].volumes == ["keys:/data"]


def test_the_container_outlives_its_drain() -> None:
    """The grace period is longer than the drain of streams."""
    for name in ("gateway", "gateway-2", "minimal"):
        grace = float(composition().services[name].stop_grace_period.removesuffix("s"))
        assert grace > Settings.model_fields["drain_seconds"].default + 10


def test_images_are_pinned_above_known_vulnerabilities() -> None:
    """Each image has one exact version, at or above the floor of its release line."""
    for service in composition().services.values():
        if service.build is None:
            above_floor(service.image)


@pytest.mark.parametrize("command", [["docker", "compose"], ["docker-compose"]], ids=" ".join)
def test_compose_itself_accepts_the_file(tmp_path: Path, command: list[str]) -> None:
    """Compose 2 and docker-compose 1.29 accept every profile without a warning, and fill in what `.env` has."""
    program = shutil.which(command[0])
    if program is None or subprocess.run([*command, "version"], capture_output=True, timeout=60).returncode:
        pytest.skip(f"no {' '.join(command)} here")
    shutil.copy(FILE, tmp_path)
    (tmp_path / ".env").write_text("CRYPTOMARKET_TICKERS=sol_usd\nPOSTGRES_PASSWORD=s3cret\n")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    profiles = [word for profile in PROFILES for word in ("--profile", profile)]
    done = subprocess.run(
        [program, *command[1:], *profiles, "config"],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    services = yaml.safe_load(done.stdout)["services"]
    assert services.keys() == composition().services.keys()
    for name in PROGRAMS:
        found = {key: value for key, value in services[name]["environment"].items() if value is not None}
        wanted = environment(name, {"CRYPTOMARKET_TICKERS": "sol_usd", "POSTGRES_PASSWORD": "s3cret"})
        assert found == wanted


def test_prometheus_scrapes_the_gateways() -> None:
    """The scrape configuration has the names and port of the compose file and the path `/metrics`."""
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == {name for name in SERVICES if name.startswith("gateway")}
    assert str(found["port"]) == environment("gateway")["CRYPTOMARKET_PORT"]
    assert job.get("metrics_path", "/metrics") == "/metrics"


def test_grafana_finds_its_dashboard() -> None:
    """The provisioned folder is mounted, and the dashboard uses the provisioned data source."""
    folder = ROOT / "deploy" / "grafana"
    (provider,) = yaml.safe_load((folder / "provisioning/dashboards/cryptomarket.yml").read_text())["providers"]
    assert any(
        mount.split(":")[1] == provider["options"]["path"] for mount in composition().services["grafana"].volumes
    )
    (source,) = yaml.safe_load((folder / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    dashboard = json.loads((folder / "dashboards" / "cryptomarket.json").read_text())
    assert {target["datasource"]["uid"] for panel in dashboard["panels"] for target in panel["targets"]} == {
        source["uid"]
    }
