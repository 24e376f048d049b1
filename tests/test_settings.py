"""The settings: their sources, their errors, and their lists in the documents."""

import re
from pathlib import Path

import pytest

from cryptomarket.deribit.doors import DOORS
from cryptomarket.errors import SettingsError
from cryptomarket.history.candles import RESOLUTIONS
from cryptomarket.settings import OF_COMPOSE, PREFIX, Settings, read_settings, secrets_in_files, unknown_settings
from cryptomarket.simulator.coinbase_keys import new_key_pair

ROOT = Path(__file__).parents[1]
NAMES = {PREFIX + name.upper() for name in (*Settings.model_fields, *secrets_in_files())}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("place", [".env.example", "docs/settings.md"])
def test_every_setting_is_listed(place: str) -> None:
    """`.env.example` and docs/settings.md have exactly the existing settings."""
    assert set(re.findall(PREFIX + r"[A-Z_]*[A-Z]", (ROOT / place).read_text())) == NAMES


def test_the_example_has_the_defaults() -> None:
    """Copying `.env.example` unchanged changes no setting."""
    assert Settings(_env_file=ROOT / ".env.example") == Settings(_env_file=None)  # type: ignore[call-arg]


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces and empty entries of a list are ignored, and a repeated name counts once."""
    monkeypatch.setenv("CRYPTOMARKET_TICKERS", "btc_usd, BTC-PERPETUAL,,btc_usd")
    assert read_settings().tickers == ("btc_usd", "BTC-PERPETUAL")


def test_candles_are_kept_by_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days can be set for every resolution, and by default for none."""
    assert (read_settings().keep_prices_days, read_settings().keep_candles_days) == (None, {})
    monkeypatch.setenv("CRYPTOMARKET_KEEP_PRICES_DAYS", "30")
    monkeypatch.setenv("CRYPTOMARKET_KEEP_CANDLES_DAYS", ", ".join(f"{name}=90" for name in RESOLUTIONS))
    assert read_settings().keep_prices_days == 30
    assert read_settings().keep_candles_days == dict.fromkeys(RESOLUTIONS, 90)


def test_the_environment_overrides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument has priority over the environment, which has priority over `.env`."""
    Path(".env").write_text("CRYPTOMARKET_PORT=1\nCRYPTOMARKET_HOST=0.0.0.0\nUNKNOWN=1\n")
    monkeypatch.setenv("CRYPTOMARKET_PORT", "2")
    assert (read_settings().port, read_settings().host, read_settings(port=3).port) == (2, "0.0.0.0", 3)


def test_the_door_has_the_addresses_that_are_set() -> None:
    """Each address replaces that of the door; an empty one does not."""
    door = read_settings(exchange="coinbase", deribit_ws_url="ws://127.0.0.1:1/ws", deribit_http_url="").door
    assert (door.name, door.prices_url, door.http_url) == (
        "coinbase",
        "ws://127.0.0.1:1/ws",
        DOORS["coinbase"].http_url,
    )
    assert read_settings().door == DOORS["deribit"]


def test_coinbase_is_offered_at_the_addresses_that_are_set() -> None:
    """Without a client id it is not; each address replaces that of Coinbase."""
    assert read_settings().coinbase is None
    assert read_settings(coinbase_client_id="our-app").coinbase == DOORS["coinbase"]
    at_door = {"exchange": "coinbase", "deribit_http_url": "http://127.0.0.1:1"}
    found = read_settings(coinbase_client_id="our-app", **at_door).coinbase
    assert found is not None
    assert found.http_url == "http://127.0.0.1:1"  # one exchange, one address
    door = read_settings(coinbase_client_id="our-app", coinbase_login_url="http://127.0.0.1:1/").coinbase
    assert door is not None
    assert door.oauth is not None
    assert door.http_url == DOORS["coinbase"].http_url
    assert (door.oauth.authorize_url, door.oauth.token_url) == (
        "http://127.0.0.1:1/oauth2/auth",
        "http://127.0.0.1:1/oauth2/token",
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"coinbase_client_secret": "hunter2"}, "COINBASE_CLIENT_ID: expected the client id"),
        ({"coinbase_client_id": "our-app", "host": "0.0.0.0"}, "PUBLIC_URL: expected the https:// address"),
        ({"coinbase_client_id": "our-app", "host": "::"}, "PUBLIC_URL: expected the https:// address"),
        ({"coinbase_client_id": "our-app", "public_url": "http://example.com"}, "PUBLIC_URL: expected the https://"),
        ({"coinbase_client_id": "our-app", "public_url": "https://example.com", "host": "0.0.0.0"}, ""),
        ({"coinbase_client_id": "our-app", "public_url": "http://localhost:8000", "host": "0.0.0.0"}, ""),
        ({"coinbase_client_id": "our-app", "host": "::1"}, ""),
    ],
)
def test_what_cannot_work_together_stops_the_start(values: dict[str, str], expected: str) -> None:
    """Coinbase sends browsers back over TLS only, except to this machine; the error names what to set."""
    if not expected:
        assert read_settings(**values).coinbase is not None
        return
    with pytest.raises(SettingsError, match=expected) as caught:
        read_settings(**values)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "abc", "valid integer"),
        ("PORT", "70000", "65535"),
        ("TICKERS", "btc_usd;eth_usd", "btc_usd,eth_usd"),
        ("TICKERS", "btc usd", "btc_usd,eth_usd"),
        ("TICKERS", "connection", "always there"),
        ("SNAPSHOT_INTERVAL", "0", "greater than or equal to 1"),
        ("DERIBIT_WS_URL", "http://example.com", "wss://"),
        ("EXCHANGE", "binance", "deribit, deribit-test, coinbase"),
        ("ALLOWED_ORIGINS", "*", "https://example.com"),
        ("PUBLIC_URL", "prices.example.com", "https://prices.example.com"),
        ("PUBLIC_URL", "https://prices.example.com/board", "no path"),
        ("PUBLIC_URL", "https://user@prices.example.com", "https://prices.example.com"),
        ("PUBLIC_URL", "https://prices.example.com:x", "https://prices.example.com"),
        ("TRUSTED_PROXIES", "*", "172.16.0.0/12"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "172.16.0.0/12"),
        ("KEEP_PRICES_DAYS", "0", "greater than or equal to 1"),
        ("KEEP_CANDLES_DAYS", "2m=90", "1m=90,5m=365"),
        ("KEEP_CANDLES_DAYS", "1m=0", "1m=90,5m=365"),
        ("NODE", "a b", "this process in its logs"),
        ("LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("LOG_FORMAT", "xml", "json"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str) -> None:
    """The error names the variable, the value and what was expected."""
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError, match=PREFIX + name) as caught:
        read_settings()
    assert expected in str(caught.value)
    assert repr(value) in str(caught.value) or name == "TICKERS"


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "DERIBIT_PROXY"])
def test_a_wrong_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The error does not contain the URL, which may contain a password."""
    monkeypatch.setenv(PREFIX + name, "gopher://user:hunter2@example.com")
    with pytest.raises(SettingsError, match=PREFIX + name) as caught:
        read_settings()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_d4_no_ticker_needs_to_be_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list is valid: then only tickers that streams want are followed."""
    monkeypatch.setenv("CRYPTOMARKET_TICKERS", "")
    assert read_settings().tickers == ()


def test_a_binary_env_file_is_refused(tmp_path: Path) -> None:
    """A `.env` that is no text raises SettingsError, which names the file."""
    (tmp_path / ".env").write_bytes(b"\x89PNG\xff\x00")
    with pytest.raises(SettingsError, match=r"\.env: expected a file of text"):
        read_settings()


def test_a_misspelt_setting_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Unknown variables of the environment and `.env` are named, with the nearest setting and without values."""
    monkeypatch.setenv("CRYPTOMARKET_TICKER", "btc_usd")
    monkeypatch.setenv("CRYPTOMARKET_NOSUCH", "hunter2")
    monkeypatch.setenv("CRYPTOMARKET_FRONT", "127.0.0.1:8443")
    (tmp_path / ".env").write_text("CRYPTOMARKET_REDIS=redis://:hunter2@127.0.0.1\nCRYPTOMARKET_PORT=1\nOTHER=2\n")
    assert unknown_settings() == [
        "CRYPTOMARKET_NOSUCH",
        "CRYPTOMARKET_REDIS (did you mean CRYPTOMARKET_REDIS_URL?)",
        "CRYPTOMARKET_TICKER (did you mean CRYPTOMARKET_TICKERS?)",
    ]


def test_variables_of_the_compose_file_are_no_mistakes() -> None:
    """Variables that only `docker-compose.yml` uses are known, since the gateway reads the same `.env`."""
    found = re.findall(r"\$\{(CRYPTOMARKET_[A-Z_]+)", (ROOT / "docker-compose.yml").read_text())
    assert set(found) - NAMES == OF_COMPOSE


def test_every_problem_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One error names all wrong values."""
    monkeypatch.setenv("CRYPTOMARKET_PORT", "x")
    monkeypatch.setenv("CRYPTOMARKET_TICKERS", "?")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert len(caught.value.problems) == 2


def test_secrets_are_masked() -> None:
    """Neither repr nor str of the settings shows a secret."""
    settings = read_settings(deribit_client_secret="hunter2", database_url="postgresql+asyncpg://u:hunter2@h/d")
    assert "hunter2" not in repr(settings) + str(settings)


FILES = sorted(secrets_in_files())
VALUES = {
    "database_url": "postgresql+asyncpg://u:hunter2@h/d",
    "redis_url": "redis://u:hunter2@h/0",
    "deribit_proxy": "socks5://u:hunter2@h:1",
    "operators_token": "hunter2-hunter2-hunter2",
}


def secret_file(folder: Path, text: str, mode: int = 0o600) -> str:
    """Write a file with a secret; return its path."""
    path = folder / "secret"
    path.touch(0o600)
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_every_secret_may_be_in_a_file() -> None:
    """Every secret has a variable for a file, except the keys, whose file the gateway makes."""
    secret = {name for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)}
    assert set(secrets_in_files().values()) == secret - {"secret_key"}
    assert {"database_url_file", "redis_url_file", "deribit_client_secret_file"} <= set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_a_secret_is_read_from_its_file(tmp_path: Path, file: str) -> None:
    """The secret is read without white space around it, and masked. `.env` may name the file; arguments go first."""
    name = secrets_in_files()[file]
    value = VALUES.get(name, "hunter2")
    path = secret_file(tmp_path, f" {value}\n", 0o440)
    (tmp_path / ".env").write_text(f"{PREFIX}{file.upper()}={path}\n{PREFIX}COINBASE_CLIENT_ID=our-app\n")
    found = read_settings()
    assert getattr(found, name).get_secret_value() == value
    assert "hunter2" not in repr(found)
    assert unknown_settings() == []
    other = VALUES.get(name, "other").replace("hunter2", "another")
    assert getattr(read_settings(**{name: other}), name).get_secret_value() == other


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("redis://u:hunter2@h/0", 0o644, "others cannot read or write: chmod 600 it"),
        ("", 0o600, "it is empty"),
        ("hunter2", 0o600, "redis:// or rediss://"),
        ("hunter2\udc80", 0o600, "a file of text"),
        (None, 0o600, "a file that can be read (No such file or directory)"),
    ],
)
def test_an_unusable_secret_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, mode: int, expected: str
) -> None:
    """The error names the variable and what is wrong with its file, and every other wrong value, but not the secret."""
    path = tmp_path / "secret"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
        path.chmod(mode)
    monkeypatch.setenv("CRYPTOMARKET_REDIS_URL_FILE", str(path))
    monkeypatch.setenv("CRYPTOMARKET_PORT", "x")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "CRYPTOMARKET_REDIS_URL_FILE",
        "CRYPTOMARKET_PORT",
    ]
    assert expected in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_secret_is_given_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A value and a file for one secret are refused, since either may be meant. An empty value counts as none."""
    monkeypatch.setenv("CRYPTOMARKET_REDIS_URL_FILE", secret_file(tmp_path, "redis://h/0"))
    monkeypatch.setenv("CRYPTOMARKET_REDIS_URL", "redis://u:hunter2@h/1")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    (problem,) = caught.value.problems
    assert problem.startswith("CRYPTOMARKET_REDIS_URL_FILE: expected no value, since CRYPTOMARKET_REDIS_URL is set")
    assert "hunter2" not in problem
    monkeypatch.setenv("CRYPTOMARKET_REDIS_URL", "")
    assert read_settings().redis_url is not None
    monkeypatch.setenv("CRYPTOMARKET_REDIS_URL_FILE", "")
    assert read_settings().redis_url is None


def test_a_private_key_that_cannot_sign_stops_the_start_without_an_echo() -> None:
    """The setting and what was expected are named; a usable key is taken as it is."""
    pem = new_key_pair().private
    secret = read_settings(deribit_client_secret=pem).deribit_client_secret
    assert secret is not None
    assert secret.get_secret_value() == pem
    with pytest.raises(SettingsError) as refused:
        read_settings(deribit_client_secret=pem[:70])
    assert "CRYPTOMARKET_DERIBIT_CLIENT_SECRET" in str(refused.value)
    assert "Ed25519 or RSA private key" in str(refused.value)
    assert pem[30:60] not in str(refused.value)
