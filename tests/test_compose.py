"""The compose file and the files that it mounts."""

import ipaddress
import itertools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from cryptomarket.settings import (
    OF_COMPOSE,
    PREFIX,
    Settings,
    read_settings,
    secrets_in_files,
    unknown_settings,
)

from .composition import FILE, composition, environment, filled, megabytes
from .service_secrets import written_secrets
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
    """Ports are published on loopback only; the networks of databases, front and metrics are internal."""
    services, networks = composition().services, composition().networks
    with_ports = {name for name, service in services.items() if service.ports}
    assert with_ports == {"gateway", "minimal", "front", "grafana"}
    for service in services.values():
        assert all(filled(port, {}).startswith("127.0.0.1:") for port in service.ports)
        assert set(service.networks) <= networks.keys()
        assert bool(service.networks) is (service.network_mode is None)
    assert services["postgres"].networks == services["redis"].networks == ["databases"]
    assert set(services["prometheus"].networks) == {"metrics"}
    assert {name for name, network in networks.items() if network.internal} == {"databases", "front", "metrics"}
    assert {name for name, service in services.items() if service.network_mode == "none"} == {"secrets"}


def attached(network: str) -> dict[str, str | None]:
    """Return the services on a network, each with its fixed address."""
    found: dict[str, str | None] = {}
    for name, service in composition().services.items():
        if isinstance(service.networks, dict):
            if network in service.networks:
                address = service.networks[network].ipv4_address
                found[name] = filled(address, {}) if address else None
        elif network in service.networks:
            found[name] = None
    return found


@pytest.mark.parametrize(
    ("setting", "network", "trusted"),
    [("TRUSTED_PROXIES", "front", "front"), ("OPERATORS", "metrics", "prometheus")],
)
def test_gateways_trust_one_address(setting: str, network: str, trusted: str) -> None:
    """It is the fixed one of a service, on a network of its own, and Docker gives it to no other container."""
    for name in ("gateway", "gateway-2"):
        assert environment(name)[PREFIX + setting].split(",") == [attached(network)[trusted], ""]
        assert environment(name, {PREFIX + setting: "10.113.87.1"})[PREFIX + setting].endswith(",10.113.87.1")
        # With two networks in common the address would depend on the one that a connection takes.
        services = composition().services
        assert set(services[name].networks) & set(services[trusted].networks) == {network}
    assert environment("minimal")[PREFIX + setting] == ""
    management = composition().networks[network].ipam
    assert management is not None
    (addresses,) = management.config
    fixed = ipaddress.ip_address(str(attached(network)[trusted]))
    whole = ipaddress.ip_network(filled(addresses.subnet, {}))
    automatic = ipaddress.ip_network(filled(addresses.ip_range, {}))
    assert fixed in whole
    assert fixed not in automatic
    assert automatic.subnet_of(whole)  # type: ignore[arg-type]


def test_networks_do_not_overlap() -> None:
    """The fixed networks are apart, and one variable moves all of them."""
    whole = [
        ipaddress.ip_network(filled(addresses.subnet, {"CRYPTOMARKET_SUBNET": "172.29.5"}))
        for network in composition().networks.values()
        if network.ipam
        for addresses in network.ipam.config
    ]
    assert len(whole) == 3
    assert all(network.subnet_of(ipaddress.ip_network("172.29.5.0/24")) for network in whole)  # type: ignore[arg-type]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(whole, 2))


def test_each_service_sees_its_own_secrets() -> None:
    """A service mounts one volume of secrets, read-only; only the one-shot service mounts all, and `accounts`."""
    seen: dict[str, set[str]] = {}
    for name, service in composition().services.items():
        for mount in service.volumes:
            volume, target, *mode = mount.split(":")
            if volume.startswith("secrets"):
                seen.setdefault(name, set()).add(target.removeprefix("/secrets/"))
                assert volume == f"secrets-{target.removeprefix('/secrets/')}" or (volume, name) == ("secrets", name)
                assert mode == ([] if name == "secrets" else ["ro"])
    writer = seen.pop("secrets")
    assert seen == {
        "gateway": {"gateway"},
        "gateway-2": {"gateway"},
        "migrate": {"migrate"},
        "worker": {"celery"},
        "beat": {"celery"},
        "postgres": {"postgres"},
        "redis": {"redis"},
        "grafana": {"grafana"},
    }
    assert writer == {"accounts", *(place for places in seen.values() for place in places)}
    folders = re.findall(r"/secrets/(\w+)", (ROOT / "Dockerfile").read_text())
    assert set(folders) == writer, "a new volume has the owner of the folder in the image"


def test_no_password_has_a_default() -> None:
    """No variable or value of the file is a password: they are in files that the one-shot service writes."""
    text = re.sub(r"(?m)^ *#.*$", "", FILE.read_text())
    assert re.findall(r"(?i)[a-z_]*password[a-z_]*", text.replace("_password", "")) == [
        "POSTGRES_PASSWORD_FILE",
        "GF_SECURITY_ADMIN_PASSWORD__FILE",
    ]
    assert set(re.findall(r"\$\{(\w+)", text)) == {
        "CRYPTOMARKET_FRONT",
        "CRYPTOMARKET_OPERATORS",
        "CRYPTOMARKET_PORT",
        "CRYPTOMARKET_SUBNET",
        "CRYPTOMARKET_TRUSTED_PROXIES",
        "GRAFANA_PORT",
    }


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_dumps_its_memory(name: str) -> None:
    """A core file would hold passwords and keys."""
    assert composition().services[name].ulimits["core"] == 0


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
    """Every variable is a setting, except two that only the compose file uses."""
    text = FILE.read_text() + (ROOT / "Dockerfile").read_text()
    settings = {PREFIX + name.upper() for name in (*Settings.model_fields, *secrets_in_files())}
    assert set(re.findall(PREFIX + r"[A-Z_]*[A-Z]", text)) - settings == OF_COMPOSE


#: Secrets that a worker and the migration do not need, and what they do not listen to.
OF_GATEWAYS = {
    name + file
    for name in ("DERIBIT_CLIENT_SECRET", "COINBASE_CLIENT_SECRET", "SECRET_KEY", "OPERATORS_TOKEN")
    for file in ("", "_FILE")
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_setting_reaches_our_programs(name: str) -> None:
    """A setting in `.env` reaches each program, except where the container decides; an unset one is left out.

    A new setting is listed under `x-settings` of the compose file.
    """
    gateway = name in ("gateway", "gateway-2", "minimal")
    decided = {"DATABASE_URL", "REDIS_URL"} if name == "minimal" else {"DATABASE_URL_FILE", "LOG_FORMAT"}
    decided |= {"PORT", "TRUSTED_PROXIES", "OPERATORS"} if gateway else set()
    decided |= {"REDIS_URL_FILE"} if name not in ("minimal", "migrate") else set()
    of_the_image = {"HOST", "NODE"}  # the image listens on every address; a name would be the same for all containers
    of_the_place = {"DATABASE_URL", "DATABASE_URL_FILE", "REDIS_URL", "REDIS_URL_FILE"}
    of_the_place |= {"PORT", "TRUSTED_PROXIES", "OPERATORS"}
    settings = {field.upper() for field in (*Settings.model_fields, *secrets_in_files())}
    expected = settings - decided - of_the_image - of_the_place - (set() if gateway else OF_GATEWAYS)
    declared = composition().services[name].environment
    assert {variable for variable, value in declared.items() if value is None} == {PREFIX + field for field in expected}
    assert environment(name, {PREFIX + "TICKERS": "sol_usd"})[PREFIX + "TICKERS"] == "sol_usd"
    assert environment(name).keys() == {PREFIX + field for field in decided}


@pytest.mark.parametrize("name", PROGRAMS)
def test_our_programs_accept_the_environment_of_compose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """The environment of each service is valid with the secrets written for it; each has its own accounts."""
    secrets = written_secrets(tmp_path)
    monkeypatch.chdir(tmp_path)
    for variable, value in environment(name).items():
        monkeypatch.setenv(variable, value.replace("/secrets", str(secrets)) if "_FILE" in variable else value)
    settings = read_settings()
    database = settings.database_url.get_secret_value()
    redis = settings.redis_url.get_secret_value() if settings.redis_url else ""
    assert unknown_settings() == []
    if name == "minimal":
        assert (database, redis) == ("sqlite+aiosqlite:////data/cryptomarket.db", "")
        return

    def password(account: str) -> str:
        return (secrets / "accounts" / account).read_text()

    user, account = {
        "migrate": ("cryptomarket", "postgres-owner"),
        "worker": ("celery", "postgres-celery"),
        "beat": ("celery", "postgres-celery"),
    }.get(name, ("gateway", "postgres-gateway"))
    assert database == f"postgresql+asyncpg://{user}:{password(account)}@postgres/cryptomarket"
    user = "celery" if user == "celery" else "cryptomarket"
    assert redis == ("" if name == "migrate" else f"redis://{user}:{password(f'redis-{user}')}@redis:6379/0")


def test_two_gateways_share_the_encryption_key() -> None:
    """The key is in a shared volume, so that both know a person who logged in."""
    services = composition().services
    assert services["gateway"].volumes == services["gateway-2"].volumes
    assert "keys:/data" in services["gateway"].volumes


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


@pytest.mark.parametrize("image", ["redis:8.2-alpine", "redis:8", "nginx:latest", "nginx", "postgres:18-alpine"])
def test_an_image_without_its_whole_version_is_refused(image: str) -> None:
    """Such a tag moves: two deployments of one file would run different programs."""
    with pytest.raises(AssertionError, match="no exact version"):
        above_floor(image)


@pytest.mark.parametrize("command", [["docker", "compose"], ["docker-compose"]], ids=" ".join)
def test_compose_itself_accepts_the_file(tmp_path: Path, command: list[str]) -> None:
    """Compose 2 and docker-compose 1.29 accept every profile without a warning, and fill in what `.env` has."""
    program = shutil.which(command[0])
    if program is None or subprocess.run([*command, "version"], capture_output=True, timeout=60).returncode:
        pytest.skip(f"no {' '.join(command)} here")
    shutil.copy(FILE, tmp_path)
    (tmp_path / ".env").write_text("CRYPTOMARKET_TICKERS=sol_usd\nCRYPTOMARKET_SUBNET=172.29.5\n")
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
        wanted = environment(name, {"CRYPTOMARKET_TICKERS": "sol_usd", "CRYPTOMARKET_SUBNET": "172.29.5"})
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
