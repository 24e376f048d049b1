"""`cryptomarket init`: a first `.env` with fresh secrets, for its owner alone."""

from pathlib import Path

import pytest
from dotenv import dotenv_values

from cryptomarket.cli.init import init
from cryptomarket.errors import SettingsError, StartError
from cryptomarket.settings import PREFIX, Settings, read_settings, unknown_settings


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working directory, and no settings in the environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_fresh_secrets_are_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A key and a token, different each time; the output names them and shows neither."""
    init()
    first = dotenv_values(".env")
    assert set(first) == {"CRYPTOMARKET_SECRET_KEY", "CRYPTOMARKET_OPERATORS_TOKEN"}
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [".env"]
    said = capsys.readouterr().out
    assert all(name in said for name in first)
    assert not any(str(value) in said for value in first.values())
    assert "cryptomarket doctor" in said
    (folder / ".env").unlink()
    init()
    assert all(dotenv_values(".env")[name] != value for name, value in first.items())


@pytest.mark.parametrize("password", ["plain", "p%20s", "a'b", "a#b", "a b#c", '"x" $y \\ z', "é"])
def test_given_settings_are_read_again(capsys: pytest.CaptureFixture[str], password: str) -> None:
    """As the gateway reads them, whatever characters they have; a password is not shown."""
    database = f"postgresql+asyncpg://u:{password}@h/d"
    init(public_url="https://prices.example.com", database_url=database, redis_url="redis://h", proxy="socks5://h:1")
    found = read_settings()
    assert found.public_url == "https://prices.example.com"
    assert found.database_url.get_secret_value() == database
    assert found.redis_url is not None
    assert found.deribit_proxy is not None
    assert unknown_settings() == []
    assert f":{password}@" not in capsys.readouterr().out


@pytest.mark.parametrize("link", [False, True])
def test_an_existing_file_is_not_changed(folder: Path, link: bool) -> None:
    """Nor is a link followed: what was there stays as it was."""
    if link:
        (folder / ".env").symlink_to("elsewhere")
    else:
        (folder / ".env").write_text("CRYPTOMARKET_PORT=1\n")
    with pytest.raises(StartError, match="exists and is not changed"):
        init()
    assert [path.name for path in folder.iterdir()] == [".env"]
    assert link or (folder / ".env").read_text() == "CRYPTOMARKET_PORT=1\n"


@pytest.mark.parametrize(
    ("database", "error", "said"),
    [
        ("mysql://u:hunter2@h/d", SettingsError, "CRYPTOMARKET_DATABASE_URL: expected"),
        ("postgresql+asyncpg://u:hunter2${HOME}@h/d", StartError, "CRYPTOMARKET_DATABASE_URL has characters"),
    ],
)
def test_a_value_that_cannot_be_used_leaves_no_file(
    folder: Path, database: str, error: type[Exception], said: str
) -> None:
    """The error names the variable and does not show its value."""
    with pytest.raises(error, match=said) as caught:
        init(database_url=database)
    assert "hunter2" not in str(caught.value)
    assert list(folder.iterdir()) == []


def test_a_key_file_stays_in_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A key in `.env` would come before that of the file and end every login."""
    (folder / "cryptomarket.key").write_text("the key of logins")
    init()
    assert set(dotenv_values(".env")) == {"CRYPTOMARKET_OPERATORS_TOKEN"}
    assert "The key stays that of cryptomarket.key" in capsys.readouterr().out
