"""Keys derived for each purpose from the operator's keys; a rotation reaches a running program by itself."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from cryptomarket.errors import StartError
from cryptomarket.persons.keyring import AGAIN_SECONDS, MAC_BYTES, REREAD_SECONDS, Keyring
from cryptomarket.persons.keys import file_keys

PURPOSES = ("one", "two")


def new_key() -> str:
    """A new operator key."""
    return Fernet.generate_key().decode()


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_purpose_has_its_own_keys() -> None:
    """What was signed or sealed for one purpose is refused for another, and by other keys."""
    keys, others = (new_key(),), (new_key(),)
    ours, other = Keyring(lambda: keys), Keyring(lambda: others)
    mac, sealed = ours.sign("one", b"data"), ours.seal("one", b"data")
    assert len(mac) == MAC_BYTES
    assert (ours.verifies("one", b"data", mac), ours.open("one", sealed)) == (True, b"data")
    for keyring, purpose in ((ours, "two"), (other, "one")):
        assert (keyring.verifies(purpose, b"data", mac), keyring.open(purpose, sealed)) == (False, None)
    assert not ours.verifies("one", b"date", mac)
    assert not ours.verifies("one", b"data", mac[:-1])
    assert not ours.verifies("one", b"data", b"")
    assert ours.open("one", b"junk") is None
    assert b"data" not in sealed


def test_the_newest_key_signs_and_every_key_verifies() -> None:
    """What the old key signed and sealed is accepted as long as the key is given."""
    old, new = new_key(), new_key()
    first, both, last = (Keyring(lambda keys=keys: keys) for keys in ((old,), (new, old), (new,)))  # type: ignore[misc]
    for purpose in PURPOSES:
        by_old, by_both = (one.sign(purpose, b"data") for one in (first, both))
        assert both.verifies(purpose, b"data", by_old)
        assert last.verifies(purpose, b"data", by_both)
        assert not last.verifies(purpose, b"data", by_old)
        assert both.open(purpose, first.seal(purpose, b"data")) == b"data"
        assert last.open(purpose, both.seal(purpose, b"data")) == b"data"
        assert last.open(purpose, first.seal(purpose, b"data")) is None


def test_a_new_key_is_used_within_seconds() -> None:
    """A running program that only signs takes the new key as well."""
    clock, held = Clock(), [new_key()]
    keyring = Keyring(lambda: tuple(held), monotonic=clock)
    before = keyring.sign("one", b"data")
    held.insert(0, new_key())
    assert keyring.sign("one", b"data") == before
    clock.now += REREAD_SECONDS
    assert keyring.sign("one", b"data") != before


def test_a_dropped_key_is_refused_at_once() -> None:
    """After a rotation a keyring that has used the old key neither verifies nor decrypts with it."""
    held = [new_key()]
    keyring = Keyring(lambda: tuple(held))
    mac, sealed = keyring.sign("one", b"data"), keyring.seal("two", b"data")
    held[:] = [new_key()]
    keyring.load()
    assert (keyring.verifies("one", b"data", mac), keyring.open("two", sealed)) == (False, None)
    assert keyring.verifies("one", b"data", keyring.sign("one", b"data"))
    assert keyring.open("two", keyring.seal("two", b"data")) == b"data"


def test_a_message_of_an_unknown_key_makes_the_keys_be_read_at_once() -> None:
    """But junk does not make them be read again and again."""
    clock, held, reads = Clock(), [new_key()], 0

    def read() -> tuple[str, ...]:
        nonlocal reads
        reads += 1
        return tuple(held)

    keyring = Keyring(read, monotonic=clock)
    keyring.load()
    held.insert(0, new_key())
    newest = Keyring(lambda: tuple(held[:1]))
    assert keyring.verifies("one", b"data", newest.sign("one", b"data"))
    for _ in range(100):
        assert not keyring.verifies("one", b"data", b"junk")
        assert keyring.open("one", b"junk") is None
    assert reads == 2
    clock.now += AGAIN_SECONDS
    assert not keyring.verifies("one", b"data", b"junk")
    assert reads == 3


def test_a_key_file_that_vanishes_while_the_program_runs_changes_nothing(tmp_path: Path) -> None:
    """The keys in memory stay in use, and no new file is made: it would end every login."""
    clock, path = Clock(), tmp_path / "cryptomarket.key"
    keyring = Keyring(file_keys(path), monotonic=clock)
    mac = keyring.sign("one", b"data")
    path.rename(tmp_path / "elsewhere")
    clock.now += REREAD_SECONDS
    assert keyring.verifies("one", b"data", mac)
    assert not path.exists()
    (tmp_path / "elsewhere").rename(path)
    clock.now += REREAD_SECONDS
    assert keyring.sign("one", b"data") == mac


def test_keys_that_cannot_be_read_at_the_start_are_an_error(tmp_path: Path) -> None:
    """Nothing is signed without a key."""
    with pytest.raises(StartError):
        Keyring(file_keys(tmp_path / "none" / "cryptomarket.key")).load()
