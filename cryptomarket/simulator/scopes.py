"""The scopes of the exchange: the key's own, the requested, the granted. Pure functions of text."""

from .rpc_errors import invalid

__all__ = ["FULL", "check_documented", "coinbase_rights", "granted", "kept", "session_name"]

_LEVELS = ("none", "read", "read_write")
_KINDS = ("block_trade", "block_rfq", "trade", "account", "wallet", "custody")

FULL = " ".join(f"{kind}:read_write" for kind in _KINDS)


def check_documented(requested: str) -> None:
    """Raises invalid params for a ``none`` of a kind of which the documentation shows none."""
    for word in requested.split():
        kind, _, level = word.partition(":")
        if level == "none" and kind not in ("account", "trade", "wallet"):
            raise invalid("scope", "invalid value")


def granted(most: str, requested: str) -> tuple[frozenset[str], int | None]:
    """Returns the granted words, and the lifetime requested by ``expires:SECONDS``.

    More than the key's own scope is silently narrowed; kinds not mentioned get the key's maximum; ``connection`` is
    set where neither it nor a session was requested, and ``mainaccount`` always.
    """
    limits, wanted = _levels(most), _levels(requested)
    words = {"mainaccount"}
    for kind, limit in limits.items():
        level = min(limit, wanted.get(kind, limit))
        if level:
            words.add(f"{kind}:{_LEVELS[level]}")
    expires: int | None = None
    for word in requested.split():
        name, _, value = word.partition(":")
        if name == "expires":
            if not value.isdecimal() or not int(value):
                raise invalid("scope", "wrong format")
            expires = int(value)
        if name in ("session", "expires", "ip") and value:
            words.add(word)
    if session_name(words) is None:
        words.add("connection")
    return frozenset(words), expires


def kept(scope: frozenset[str], *, session: str | None) -> str:
    """Returns the request that keeps a granted scope, in the session if one is named.

    A kind that was not granted is named with ``none``: a kind that is not mentioned gets the key's maximum.
    """
    names = {word.partition(":")[0] for word in scope}
    words = [word for word in scope if not word.startswith("session:") and word not in ("mainaccount", "connection")]
    refused = [f"{kind}:none" for kind in _KINDS if kind not in names]
    return " ".join([*sorted(words), *refused, *([f"session:{session}"] if session else [])])


def coinbase_rights(words: str) -> str:
    """Returns the rights behind the scope words of Coinbase.

    Which words a private call needs is not documented. Here any word to read allows to read everything, and only
    ``wallet:buys:create`` allows more.
    """
    if "wallet:buys:create" in words.split():
        return ""
    reads = any(word.endswith(":read") for word in words.split())
    level = {kind: "read" if reads and kind in ("account", "trade", "wallet") else "none" for kind in _KINDS}
    return " ".join(f"{kind}:{name}" for kind, name in level.items())


def session_name(words: set[str] | frozenset[str]) -> str | None:
    """NAME of ``session:NAME``, if it is among the words."""
    return next((word.partition(":")[2] for word in sorted(words) if word.startswith("session:")), None)


def _levels(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in text.split():
        kind, _, level = word.partition(":")
        if kind in _KINDS and level in _LEVELS:
            found[kind] = _LEVELS.index(level)
    return found
