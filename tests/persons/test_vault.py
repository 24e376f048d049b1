"""What the vault seals opens with its keys, under its own name and in its time only; the key file."""

import contextlib
import gc
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from cryptomarket.errors import StartError
from cryptomarket.persons.keys import add_key, drop_old_keys, file_keys, key_file, split_keys, use_newest_key
from cryptomarket.persons.vault import CannotOpen, Vault, fingerprint

NOW = 1_763_640_000


class Clock:
    """A wall clock that the test moves."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def keys(*given: str) -> Vault:
    """A vault of the given keys."""
    return Vault(lambda: given)


def new_key() -> str:
    """A new operator key."""
    return Fernet.generate_key().decode()


@given(st.binary(min_size=1, max_size=256))
def test_a_secret_comes_back_from_its_two_halves(secret: bytes) -> None:
    """Ciphertext and wrapped key open to the secret, with the vault's own key only."""
    vault = keys(new_key())
    ciphertext, wrapped = vault.seal_secret(bytearray(secret))
    assert vault.open_secret(ciphertext, wrapped, seconds=15) == secret
    with pytest.raises(CannotOpen):
        keys(new_key()).open_secret(ciphertext, wrapped, seconds=15)


def test_the_halves_of_two_logins_do_not_open() -> None:
    """The key of one login does not open the ciphertext of another."""
    vault = keys(new_key())
    (first, _), (_, other) = vault.seal_secret(bytearray(b"one")), vault.seal_secret(bytearray(b"two"))
    with pytest.raises(CannotOpen):
        vault.open_secret(first, other, seconds=15)


def test_fernet_never_sees_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library, which copies its input, encrypts and decrypts the secret under a mask."""
    seen: list[bytes] = []
    encrypt, decrypt = Fernet.encrypt_at_time, Fernet.decrypt_at_time

    def spied_encrypt(self: Fernet, data: bytes, current_time: int) -> bytes:
        seen.append(bytes(data))
        return encrypt(self, data, current_time)

    def spied_decrypt(self: Fernet, token: bytes | str, ttl: int, current_time: int) -> bytes:
        seen.append(decrypt(self, token, ttl, current_time))
        return seen[-1]

    monkeypatch.setattr(Fernet, "encrypt_at_time", spied_encrypt)
    monkeypatch.setattr(Fernet, "decrypt_at_time", spied_decrypt)
    vault, secret = keys(new_key()), b"kQ3vX9-a-secret-of-32-characters"
    assert vault.open_secret(*vault.seal_secret(bytearray(secret)), seconds=15) == secret
    assert len(seen) >= 3
    assert not any(secret in one for one in seen)
    gc.collect()


def test_a_secret_is_too_old_after_its_seconds() -> None:
    """The vault does not open an old secret, even if the cache still has it."""
    clock = Clock()
    held = (new_key(),)
    vault = Vault(lambda: held, wall=clock)
    ciphertext, wrapped = vault.seal_secret(bytearray(b"secret"))
    clock.now += 15
    vault.open_secret(ciphertext, wrapped, seconds=15)
    clock.now += 1
    with pytest.raises(CannotOpen):
        vault.open_secret(ciphertext, wrapped, seconds=15)


def test_a_moved_record_is_refused() -> None:
    """A record opens under the name it was sealed for and under no other."""
    vault = keys(new_key())
    record = vault.seal("deribit:person:1", b"ada")
    assert vault.open("deribit:person:1", record) == b"ada"
    with pytest.raises(CannotOpen, match="another name"):
        vault.open("deribit:person:2", record)


@given(st.integers(min_value=0), st.binary(max_size=64))
def test_a_broken_record_is_refused(place: int, junk: bytes) -> None:
    """A cut, changed or foreign record raises CannotOpen, whatever it contains."""
    vault = keys(new_key())
    record = bytearray(vault.seal("name", b"data"))
    place %= len(record)
    for broken in (bytes(record[:place]), junk, bytes(record[:place]) + junk):
        with pytest.raises(CannotOpen):
            vault.open("name", broken)
    record[place] ^= 1
    with contextlib.suppress(CannotOpen):  # a bit may be without meaning, as the last of base64
        assert vault.open("name", bytes(record)) == b"data"


def test_a_token_is_valid_for_its_seconds() -> None:
    """It is refused afterwards, and from a clock more than 60 s ahead."""
    clock = Clock()
    held = (new_key(),)
    vault = Vault(lambda: held, wall=clock)
    token = vault.token(b"claims")
    assert vault.claims(token, seconds=100) == b"claims"
    clock.now = NOW - 60
    assert vault.claims(token, seconds=100) == b"claims"
    clock.now = NOW - 61
    with pytest.raises(CannotOpen):
        vault.claims(token, seconds=100)
    clock.now = NOW + 101
    with pytest.raises(CannotOpen):
        vault.claims(token, seconds=100)


@pytest.mark.parametrize("wrong", ["", "x", "gAAAA", "\udcff", "п" * 100])
def test_a_damaged_token_is_refused(wrong: str) -> None:
    """A text that is not a whole token raises CannotOpen."""
    vault = keys(new_key())
    good = vault.token(b"claims")
    for text in (wrong, good[:-4], good[4:], good[:50] + good[51:]):
        with pytest.raises(CannotOpen):
            vault.claims(text, seconds=100)


def test_rotation_fails_no_reader() -> None:
    """Records of the old key open while both keys are given, and after a rewrap with the new key alone."""
    old, new = new_key(), new_key()
    record = keys(old).seal("name", b"data")
    both = keys(new, old)
    assert both.open("name", record) == b"data"
    rewrapped = both.rewrap(record)
    assert keys(new).open("name", rewrapped) == b"data"
    with pytest.raises(CannotOpen):
        keys(old).open("name", rewrapped)
    with pytest.raises(CannotOpen):
        keys(new).open("name", record)


def test_keys_that_change_are_read_again() -> None:
    """A running vault that finds a record of an unknown key reads the keys again and opens it."""
    old, new = new_key(), new_key()
    held = [old]
    running = Vault(lambda: tuple(held))
    record = running.seal("name", b"data")
    held.insert(0, new)
    assert running.open("name", keys(new, old).rewrap(record)) == b"data"


def test_a_key_file_is_created_for_its_owner_only(tmp_path: Path) -> None:
    """It is created once with mode 600; a new key comes first and the old one stays."""
    path = tmp_path / "cryptomarket.key"
    read = file_keys(path)
    first = read()
    assert path.stat().st_mode & 0o777 == 0o600
    assert file_keys(path)() == first
    add_key(path)
    assert (read()[:1], len(read())) == (first, 2)  # known to all before it is used
    use_newest_key(path)
    newest, *rest = read()
    assert (tuple(rest), newest not in first) == (tuple(first), True)
    drop_old_keys(path)
    assert read() == (newest,)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["cryptomarket.key"]


def test_a_key_file_readable_by_others_is_refused(tmp_path: Path) -> None:
    """The error names the file and what to do, and contains no key."""
    path = tmp_path / "cryptomarket.key"
    secret = file_keys(path)()[0]
    path.chmod(0o640)
    with pytest.raises(StartError, match="chmod 600") as caught:
        file_keys(path)()
    assert secret not in str(caught.value)
    path.chmod(0o600)
    path.write_text("nonsense")
    with pytest.raises(StartError, match="Fernet keys"):
        file_keys(path)()
    with pytest.raises(StartError, match="cannot write"):
        file_keys(tmp_path / "none" / "cryptomarket.key")()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite+aiosqlite:////var/lib/x/history.db", "/var/lib/x/cryptomarket.key"),
        ("sqlite+aiosqlite:///history.db?timeout=3", "cryptomarket.key"),
        ("sqlite+aiosqlite:///", "cryptomarket.key"),
        ("postgresql+asyncpg://u:p@h/d", "cryptomarket.key"),
    ],
)
def test_the_key_file_is_beside_the_database(url: str, expected: str) -> None:
    """The key file of PostgreSQL is in the working directory."""
    assert str(key_file(url)) == expected


def test_a_list_of_keys_is_checked() -> None:
    """Commas or lines separate keys; the error about a wrong one does not contain any."""
    one, two = new_key(), new_key()
    assert split_keys(f"{one}, {two}\n") == (one, two)
    for wrong in ("", f"{one},short", "x" * 44):
        with pytest.raises(ValueError, match="Fernet key") as caught:
            split_keys(wrong)
        assert one not in str(caught.value)


def test_a_fingerprint_does_not_reveal_its_cookie() -> None:
    """It is equal for equal cookies, different for different ones, and does not contain them."""
    assert fingerprint("cookie") == fingerprint("cookie") != fingerprint("cookie2")
    assert "cookie" not in fingerprint("cookie")
