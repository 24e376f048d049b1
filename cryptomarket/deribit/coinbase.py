"""How persons log in at Coinbase: scopes, the proof key of a code, and the form of its API keys.

Plain values and functions that import nothing of the package, so any feature may import them. Sources:
https://docs.cdp.coinbase.com/coinbase-app/oauth2-integration/scopes and
https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/guides/derivatives/deribit-partners
"""

import base64
import hashlib
import re

__all__ = ["COINBASE_SCOPE", "OAUTH_GRANT", "challenge", "is_cdp_key", "rights_beyond_reading"]

#: Name and balances of the person, and a refresh token: an access token lives for an hour.
COINBASE_SCOPE = "wallet:user:read wallet:accounts:read offline_access"
#: The grant of `public/auth` that takes an access token of Coinbase.
OAUTH_GRANT = "coinbase_oauth2"

#: The name of a key of the Coinbase Developer Platform.
_CDP_KEY = re.compile(r"organizations/[^/\s]{1,64}/apiKeys/[^/\s]{1,64}\Z")
#: What the last word of a right may be: others create, change or send something.
_READING = frozenset({"read", "email", "none"})
#: Words of a scope that are no rights: about the token, and those that Deribit adds.
_NO_RIGHTS = frozenset({"offline_access", "openid", "profile", "email", "connection", "mainaccount"})
_NO_RIGHT_KINDS = frozenset({"session", "expires", "ip", "name"})


def challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def rights_beyond_reading(scope: str) -> list[str]:
    """The rights in a scope that allow more than reading. Words are separated by spaces or commas.

    A right is written `wallet:accounts:read`; its last word is what it allows. A word without a form that is known
    here, such as `all`, counts as more than reading.
    """
    words = scope.replace(",", " ").split()
    return sorted(word for word in words if not _reads(word))


def _reads(word: str) -> bool:
    kind, _, rest = word.partition(":")
    if not rest:
        return word in _NO_RIGHTS
    return kind in _NO_RIGHT_KINDS or rest.rpartition(":")[2] in _READING


def is_cdp_key(client_id: str) -> bool:
    """Whether a client id is the name of a key of the Coinbase Developer Platform."""
    return _CDP_KEY.match(client_id) is not None
