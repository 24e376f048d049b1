"""Signed messages: whoever has the account of Redis but not the keys of the nodes can neither make nor change one."""

from ..node_keys import NodeKeys

__all__ = ["MAC_BYTES", "Signer"]

MAC_BYTES = 32
#: The largest batch of a node has about a megabyte. A longer message is not even hashed.
MAX_BYTES = 8 * 2**20


class Signer:
    """Signs and verifies the messages under one name of Redis, a channel or a key with the number of its database.

    A message copied to another name does not verify there.
    """

    def __init__(self, keys: NodeKeys, name: str) -> None:
        self._keys = keys
        self._purpose = f"bus {name}"

    def sign(self, data: bytes) -> bytes:
        """Returns the message: the MAC and the data."""
        return self._keys.sign(self._purpose, data) + data

    def verified(self, message: bytes) -> bytes | None:
        """Returns the data of a message that a node signed; None for anything else."""
        if not MAC_BYTES <= len(message) <= MAX_BYTES:
            return None
        mac, data = message[:MAC_BYTES], message[MAC_BYTES:]
        return data if self._keys.verifies(self._purpose, data, mac) else None
