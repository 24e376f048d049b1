"""The settings: one table, read once from the environment and `.env` into a frozen object.

Each row is a name, a default and a sentence; a test holds `.env.example` and docs/settings.md to it. Only `cli`,
`app`, `tasks` and the environment of the migrations may import this file.
"""

import ipaddress
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from cryptography.fernet import Fernet
from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .deribit.auth import is_private_key, private_key
from .deribit.doors import COINBASE, DERIBIT, DOORS, Door, OAuth
from .errors import SettingsError
from .public_site import PublicSite, public_origin

__all__ = ["PREFIX", "Settings", "read_settings", "secrets_in_files", "unknown_settings"]

PREFIX = "CRYPTOMARKET_"
#: Variables with the prefix that only `docker-compose.yml` reads; a test compares them with that file.
OF_COMPOSE = frozenset({"CRYPTOMARKET_FRONT", "CRYPTOMARKET_SUBNET"})

#: Names of Deribit: letters, digits, `_` and `-`, at most as long as its longest combo names.
_TICKER = re.compile(r"[A-Za-z0-9_-]{2,64}\Z")

#: Characters of a token that nobody guesses.
LEAST_TOKEN = 20

#: Days that candles of a resolution are kept; a test compares the resolutions with those of the history.
_KEPT = re.compile(r"(1m|5m|15m|1h|4h|1d)\s*=\s*([1-9][0-9]{0,4})\Z")


def _split(value: object) -> object:
    """Split "a, b" into ("a", "b"); return a value that is not text unchanged."""
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _or_none(value: object) -> object:
    return None if value == "" else value


def _tickers(value: tuple[str, ...]) -> tuple[str, ...]:
    if any(not _TICKER.match(ticker) for ticker in value):
        raise ValueError("ticker names separated by commas, such as btc_usd,eth_usd")
    if "connection" in value:
        raise ValueError("ticker names; `connection` is a channel that is always there")
    return tuple(dict.fromkeys(value))


def _days(value: object) -> object:
    """Parse "1m=90,5m=365" into {"1m": 90, "5m": 365}; return a value that is not text unchanged."""
    if not isinstance(value, str):
        return value
    found: dict[str, int] = {}
    for word in filter(None, map(str.strip, value.split(","))):
        match = _KEPT.match(word)
        if match is None:
            raise ValueError("days by resolution (1m, 5m, 15m, 1h, 4h, 1d), such as 1m=90,5m=365")
        found[match[1]] = int(match[2])
    return found


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    if any(not re.match(r"https?://[^/*\s]+\Z", origin) for origin in value):
        raise ValueError("origins such as https://example.com, separated by commas, without a path and never *")
    return value


def _public_url(value: str) -> str:
    try:
        return public_origin(value) if value else ""
    except ValueError:
        raise ValueError("an address such as https://prices.example.com, with a port if needed and no path") from None


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(
            str(ipaddress.ip_network(network)) if "/" in network else str(ipaddress.ip_address(network))
            for network in value
        )
    except ValueError:
        raise ValueError("addresses or networks such as 10.0.0.7,172.16.0.0/12, separated by commas") from None


def _door(value: str) -> str:
    if value not in DOORS:
        raise ValueError(f"one of {', '.join(DOORS)}")
    return value


def _url(*schemes: str) -> AfterValidator:
    def check(value: str | None) -> str | None:
        if value and not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"an address that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value or None

    return AfterValidator(check)


def _secret_url(*schemes: str) -> AfterValidator:
    def check(value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value() if value else ""
        if text and not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"an address that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value if text else None

    return AfterValidator(check)


def _not_empty(value: SecretStr | None) -> SecretStr | None:
    return value if value and value.get_secret_value() else None


def _key_secret(value: SecretStr | None) -> SecretStr | None:
    value = _not_empty(value)
    if value and is_private_key(pem := value.get_secret_value().encode()):
        private_key(pem)
    return value


def _long(value: SecretStr | None) -> SecretStr | None:
    value = _not_empty(value)
    if value and (len(value.get_secret_value()) < LEAST_TOKEN or not value.get_secret_value().isascii()):
        raise ValueError(f"at least {LEAST_TOKEN} ASCII characters, such as the output of `openssl rand -hex 20`")
    return value


def _keys(value: SecretStr | None) -> SecretStr | None:
    if value is None or not value.get_secret_value():
        return None
    for key in value.get_secret_value().split(","):
        try:
            Fernet(key.strip())
        except ValueError:
            raise ValueError("32 random bytes in URL-safe base64, several with commas, the newest first") from None
    return value


#: A list separated by commas, not written as JSON.
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """Everything that an operator can set. Every value is checked; secrets print as stars."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    exchange: Annotated[str, AfterValidator(_door)] = Field(
        DERIBIT.name, description="the door of the exchange: deribit, deribit-test or coinbase"
    )
    deribit_ws_url: Annotated[str | None, _url("wss", "ws")] = Field(
        None, description="the WebSocket address of prices; empty: that of the door"
    )
    deribit_http_url: Annotated[str | None, _url("https", "http")] = Field(
        None, description="the HTTP address of the exchange, for catalogue and history; empty: that of the door"
    )
    deribit_client_id: str = Field("", description="the application's own API key; empty: public prices only")
    deribit_client_secret: Annotated[SecretStr | None, AfterValidator(_key_secret)] = Field(
        None, description="the secret of that key, or its private key (PEM); it signs the login and is never sent"
    )
    deribit_proxy: Annotated[SecretStr | None, _secret_url("http", "socks5", "socks5h")] = Field(
        None, description="a proxy to the exchange, http://user:password@host:port or socks5://..."
    )
    deribit_ca_file: Annotated[str | None, BeforeValidator(_or_none)] = Field(
        None, description="certificates to trust instead of the system's (a file), for a proxy that decrypts"
    )
    deribit_keys_url: Annotated[str | None, _url("https", "http")] = Field(
        None, description="at coinbase: the HTTP address where persons with Deribit keys log in; empty: Deribit's"
    )
    coinbase_client_id: str = Field(
        "", description="the application's client id of OAuth2 at Coinbase; empty: persons cannot log in there"
    )
    coinbase_client_secret: Annotated[SecretStr | None, AfterValidator(_not_empty)] = Field(
        None, description="the secret of that application, as Coinbase issued it"
    )
    coinbase_http_url: Annotated[str | None, _url("https", "http")] = Field(
        None, description="the HTTP address of the exchange for persons who log in there; empty: that of the door"
    )
    coinbase_login_url: Annotated[str | None, _url("https", "http")] = Field(
        None, description="the login server, whose paths begin with /oauth2; empty: that of Coinbase"
    )
    tickers: Annotated[Names, AfterValidator(_tickers)] = Field(
        ("btc_usd", "eth_usd"),
        description="tickers always streamed and recorded, separated by commas; empty: only what streams want",
    )
    snapshot_interval: int = Field(60, ge=1, le=86_400, description="seconds between two stored prices of a ticker")
    database_url: Annotated[SecretStr, _secret_url("sqlite+aiosqlite", "postgresql+asyncpg")] = Field(
        SecretStr("sqlite+aiosqlite:///cryptomarket.db"),
        description="SQLite or PostgreSQL, as an address of SQLAlchemy",
    )
    redis_url: Annotated[SecretStr | None, _secret_url("redis", "rediss", "unix")] = Field(
        None, description="Redis, for several nodes and for logins that survive a restart; empty: one process"
    )
    secret_key: Annotated[SecretStr | None, AfterValidator(_keys)] = Field(
        None, description="the Fernet key that encrypts logins and signs messages of nodes, or several, newest first"
    )
    secret_key_file: Annotated[str | None, BeforeValidator(_or_none)] = Field(
        None, description="the file of the key when none is set; empty: cryptomarket.key beside the database"
    )
    keep_persons_days: Annotated[int | None, BeforeValidator(_or_none)] = Field(
        365, ge=1, description="days that the record of a person stays in the database; empty: until it is deleted"
    )
    keep_prices_days: Annotated[int | None, BeforeValidator(_or_none)] = Field(
        None, ge=1, description="days that stored prices are kept; empty: for ever"
    )
    keep_candles_days: Annotated[dict[str, int], NoDecode, BeforeValidator(_days)] = Field(
        {}, description="days that candles are kept, by resolution, such as 1m=90,5m=365; not named: for ever"
    )
    logins_per_minute: int = Field(20, ge=1, description="logins that one address may try in a minute")
    host: str = Field("127.0.0.1", min_length=1, description="the address to listen on")
    port: int = Field(8000, ge=0, le=65_535, description="the port to listen on; 0 chooses a free one")
    max_streams: Annotated[int | None, BeforeValidator(_or_none)] = Field(
        None,
        ge=1,
        description="open streams a process holds, others are told to return; empty: by the file limit",
    )
    max_streams_per_address: int = Field(100, ge=1, description="open streams that one address may hold")
    rest_units_per_second: float = Field(
        200.0,
        ge=10,
        description="work that one address may cause by REST, pages and files, in milliseconds of CPU a second",
    )
    recorder: bool = Field(True, description="on: this process stores prices; off: another one does, such as Celery")
    record_wanted: bool = Field(
        False, description="on: this process also stores the prices of tickers that only streams want"
    )
    celery_interval: float = Field(45.0, ge=1, le=3600, description="seconds between two snapshots under Celery")
    max_tickers: int = Field(200, ge=1, le=10_000, description="tickers followed at once, configured or requested")
    max_tickers_per_address: int = Field(
        20, ge=1, le=10_000, description="tickers that streams of one address may add to those"
    )
    event_log_megabytes: int = Field(
        64, ge=8, le=65_536, description="memory for recent ticks, from which streams resume, in megabytes"
    )
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        "", description="the address in browsers, such as https://prices.example.com; other hosts are refused"
    )
    trusted_proxies: Annotated[Names, AfterValidator(_networks)] = Field(
        (), description="reverse proxies whose X-Forwarded-For is believed: addresses or networks, separated by commas"
    )
    operators: Annotated[Names, AfterValidator(_networks)] = Field(
        (),
        description="addresses or networks beside this machine that may read /metrics and the details of the status",
    )
    operators_token: Annotated[SecretStr | None, AfterValidator(_long)] = Field(
        None, description="a token of 20 characters or more that may do so from anywhere, as Authorization: Bearer"
    )
    allowed_origins: Annotated[Names, AfterValidator(_origins)] = Field(
        (), description="other origins whose pages may read prices, separated by commas"
    )
    drain_seconds: float = Field(5.0, ge=0, le=300, description="seconds over which open streams end at a stop")
    node: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]{0,64}$", description="this process in its logs; empty: a random name"
    )
    log_level: Annotated[str, AfterValidator(str.upper)] = Field(
        "INFO", pattern="(?i)^(debug|info|warning|error)$", description="debug, info, warning or error"
    )
    log_format: str = Field("text", pattern="^(text|json)$", description="text for people, json for machines")

    @property
    def door(self) -> Door:
        """The door of the exchange, with the addresses that are set in place of its own."""
        door = DOORS[self.exchange]
        return replace(
            door,
            prices_url=self.deribit_ws_url or door.prices_url,
            http_url=self.deribit_http_url or door.http_url,
        )

    @property
    def coinbase(self) -> Door | None:
        """The door of persons who log in at Coinbase, with the addresses that are set; None if it is not offered."""
        if not self.coinbase_client_id or COINBASE.oauth is None:
            return None
        oauth = COINBASE.oauth
        if self.coinbase_login_url:
            server = f"{self.coinbase_login_url.rstrip('/')}/oauth2"
            oauth = OAuth(f"{server}/auth", f"{server}/token", f"{server}/revoke")
        door = self.door if self.exchange == COINBASE.name else COINBASE
        return replace(COINBASE, http_url=self.coinbase_http_url or door.http_url, oauth=oauth)

    def contradictions(self) -> list[str]:
        """What cannot work together, a sentence each."""
        found = []
        if self.coinbase_client_secret and not self.coinbase_client_id:
            found.append(f"{PREFIX}COINBASE_CLIENT_ID: expected the client id that the secret belongs to, not nothing")
        if self.coinbase_client_id:
            site = PublicSite(self.public_url or f"http://{_in_url(self.host)}")
            if not site.secure and not site.loopback:
                found.append(
                    f"{PREFIX}PUBLIC_URL: expected the https:// address in browsers, since Coinbase sends them back "
                    f"there and {PREFIX}COINBASE_CLIENT_ID is set"
                )
        return found


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def secrets_in_files() -> dict[str, str]:
    """Each setting that names a file with a secret, such as `database_url_file`, with the setting that it replaces.

    Every secret has one, except the operator's keys: `secret_key_file` holds several, and the gateway makes it.
    """
    fields = Settings.model_fields.items()
    found = {f"{name}_file": name for name, field in fields if "Secret" in str(field.annotation)}
    return {file: name for file, name in found.items() if file not in Settings.model_fields}


def read_settings(**values: Any) -> Settings:
    """The settings: given values before the environment, before `.env`, before the defaults; None is not given.

    A secret may be in a file that another variable names. A node without a name gets a random one. Raises SettingsError
    naming every wrong variable and what was expected; it never shows the value of a secret.
    """
    try:
        from_files, problems = _read_secret_files()
        given = from_files | {name: value for name, value in values.items() if value is not None}
        found = Settings(**given)
    except ValidationError as exc:
        raise SettingsError([*problems, *(_problem(e, from_files) for e in exc.errors(include_url=False))]) from None
    except (OSError, UnicodeError) as exc:
        raise SettingsError([f".env: expected a file of text ({type(exc).__name__})"]) from None
    if problems := [*problems, *found.contradictions()]:
        raise SettingsError(problems)
    return found if found.node else found.model_copy(update={"node": secrets.token_hex(4)})


def unknown_settings() -> list[str]:
    """The variables of the environment and of `.env` that look like settings and are none, each with the nearest name.

    A misspelt one would silently leave its default in force. No value is read.
    """
    known = {name.upper() for name in (*Settings.model_fields, *secrets_in_files())}
    found = []
    for name in sorted(word.removeprefix(PREFIX)[:64] for word in _given().keys() - OF_COMPOSE):
        if name not in known:
            near = get_close_matches(name, known, n=1)
            found.append(f"{PREFIX}{name}" + (f" (did you mean {PREFIX}{near[0]}?)" if near else ""))
    return found


def _given() -> dict[str, str]:
    """The variables with the prefix, in upper case: those of the environment, and of `.env` what it does not have."""
    given = {**dotenv_values(".env"), **os.environ}
    return {name.upper(): value or "" for name, value in given.items() if name.upper().startswith(PREFIX)}


def _read_secret_files() -> tuple[dict[str, Any], list[str]]:
    """The settings whose value is in a file, and a sentence for each file that cannot be used."""
    found: dict[str, Any] = {}
    problems = []
    given = _given()
    for file, name in secrets_in_files().items():
        variable, replaced = PREFIX + file.upper(), PREFIX + name.upper()
        if place := given.get(variable):
            try:
                if given.get(replaced):
                    raise ValueError(f"no value, since {replaced} is set: set one of the two")
                found[name] = _secret_in(Path(place))
            except ValueError as exc:
                problems.append(f"{variable}: expected {exc}")
    return found, problems


def _secret_in(path: Path) -> str:
    """The text of a file. Raises ValueError, which says what was expected and shows nothing of the file."""
    try:
        if path.stat().st_mode & 0o007:
            raise ValueError("a file that others cannot read or write: chmod 600 it")
        text = path.read_text(encoding="utf-8").strip()
    except UnicodeError:
        raise ValueError("a file of text") from None
    except OSError as exc:
        raise ValueError(f"a file that can be read ({exc.strerror})") from None
    if not text:
        raise ValueError("a file that holds the secret; it is empty")
    return text


def _problem(error: Any, from_files: Mapping[str, Any]) -> str:
    name = str(error["loc"][0])
    field = Settings.model_fields[name]
    got = "" if "Secret" in str(field.annotation) else f", not {str(error['input'])[:60]!r}"
    expected = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if error["type"] == "string_pattern_mismatch":
        expected = field.description
    variable = PREFIX + (f"{name}_file" if name in from_files else name).upper()
    return f"{variable}: expected {expected}{got}"
