"""Removes from messages what identifies a person or lets somebody act as one. The shape of each message stays."""

import json
import re
from typing import Any

__all__ = ["Redaction", "is_personal"]

REDACTED = "redacted"
#: Public methods whose parameters and answers hold tokens.
_WITH_TOKENS = frozenset({"public/auth", "public/fork_token", "public/exchange_token"})
#: Values that say nothing about the person; everything else of a personal message is replaced.
_HARMLESS = frozenset({"grant_type", "token_type", "expires_in", "method", "jsonrpc", "currency", "code", "testnet"})
_HARMLESS |= {"usIn", "usOut", "usDiff", "channels", "reason", "param"}
#: Texts that must not appear in any later message either.
_SECRETS = frozenset({"access_token", "refresh_token", "token", "sid", "email", "username", "system_name", "signature"})
_SECRETS |= {"client_id", "client_secret", "deposit_address", "proof_id", "proof_id_signature"}
#: What an error says where it repeats nothing of the request.
_PLAIN = re.compile(r"[A-Za-z_ ,.'-]{1,80}\Z")
_RIGHT = re.compile(r"[a-z_]+:(?:none|read|read_write)|connection|mainaccount|expires:\d+\Z")


def is_personal(method: str, channel: str = "") -> bool:
    """Whether requests and answers of a method, or notifications of a channel, are about a person."""
    return method.startswith("private/") or method in _WITH_TOKENS or channel.startswith("user.")


class Redaction:
    """Remembers the secrets it removed, so that they are removed wherever else they appear."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = {secret for secret in secrets if secret}

    def clean(self, text: str, *, personal: bool) -> str:
        """The text to record. A personal message keeps keys, types and error codes; any other keeps all but secrets."""
        if personal:
            try:
                message = json.loads(text)
            except ValueError:
                return REDACTED
            text = json.dumps(self._outer(message), separators=(",", ":"))
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text

    def _outer(self, message: Any) -> Any:
        """The message with its id and envelope."""
        if not isinstance(message, dict):
            return self._value("", message)
        return {key: value if key == "id" else self._value(key, value) for key, value in message.items()}

    def _value(self, key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._value(name, inner) for name, inner in value.items()}
        if key in _HARMLESS or value is None:
            return value
        if isinstance(value, list):
            return [self._value(key, inner) for inner in value[:1]]
        if isinstance(value, str):
            return self._text(key, value)
        return value if isinstance(value, bool) else type(value)(0)

    def _text(self, key: str, value: str) -> str:
        if key in _SECRETS and len(value) > 3:
            self._secrets.add(value)
        if key == "scope":
            return " ".join(map(_word, value.split()))
        if key == "channel":
            return value
        return value if key == "message" and _PLAIN.match(value) else REDACTED


def _word(word: str) -> str:
    """A word of a scope: rights stay, names of sessions and keys do not."""
    return word if _RIGHT.match(word) else f"{word.partition(':')[0]}:{REDACTED}"
