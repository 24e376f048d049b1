"""The tokens of a person, as they are stored; no representation shows one."""

from dataclasses import dataclass

__all__ = ["OAuthTokens", "Tokens"]


@dataclass(frozen=True, slots=True)
class OAuthTokens:
    """The tokens of a log-in by OAuth 2, with which tokens of the exchange are requested; times are UNIX seconds.

    The refresh token can be used once. The representation shows neither.
    """

    access: str
    refresh: str
    issued: float
    expires_at: float

    def __repr__(self) -> str:
        return "<OAuthTokens>"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The exchange's tokens of one person; its representation shows none.

    ``refresh`` is empty where the exchange gives no refresh token: then ``oauth`` renews the access.
    """

    access: str
    refresh: str
    oauth: OAuthTokens | None = None

    def __repr__(self) -> str:
        return "<Tokens>"
