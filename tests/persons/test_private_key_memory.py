"""The private key of a key pair leaves memory: neither its text nor the key itself stays after a signature."""

import base64
import subprocess
import sys

import pytest

from cryptomarket.simulator.coinbase_keys import new_key_pair

from .canary import Canary, Find

SIGN = """
import os
from cryptomarket.deribit.auth import signature, wipe
buffer = bytearray(4096)
pem = buffer[:0]
size = os.readv(0, [buffer])
pem.extend(bytes(size))
for place in range(size):
    pem[place] = buffer[place]
wipe(buffer)
signature(pem, 1576074319000, "nonce")
if {wiped}:
    wipe(pem)
print("signed", flush=True)
os.read(0, 1)
"""


def found_after_signing(*, wiped: bool) -> list[Find]:
    """What a search of a process finds that received a key, signed with it, and overwrote it if ``wiped``."""
    pem = new_key_pair().private.encode()
    text = b"".join(pem.splitlines()[1:-1])
    # The first third is the same for every Ed25519 key.
    canary = Canary({"text": text[24:], "key": base64.b64decode(text)[-32:]})
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", SIGN.format(wiped=wiped)], stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(pem)
        process.stdin.flush()
        assert process.stdout.readline() == b"signed\n"
        try:
            return canary.in_memory(process.pid).finds
        except PermissionError:
            pytest.skip("the memory of other processes cannot be read here")
        finally:
            process.kill()


def test_a_private_key_leaves_memory_after_its_signature() -> None:
    """It is overwritten by its owner; the decoder, which is not PEM's own, and OpenSSL keep nothing."""
    assert found_after_signing(wiped=False), "the search finds a key that was kept"
    assert found_after_signing(wiped=True) == []
