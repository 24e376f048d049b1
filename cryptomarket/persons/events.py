"""The data of the `connection` events that one person's browser sessions receive, and nobody else's."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = ["LoggedOutEvent", "LoginFailedEvent", "LoginWaitingEvent", "PersonEvent"]

Sentence = Annotated[str, Meta(description="a sentence for the person")]


class PersonEvent(Struct, frozen=True, tag_field="kind", tag="person", forbid_unknown_fields=True):
    """Who is logged in: sent on logging in, on joining, and when one of its fields changed."""

    person_id: str
    username: str
    email: str
    token: Annotated[str, Meta(description="for `Authorization: Bearer`; a page is known by its cookie")]
    expires_at: Annotated[int, Meta(description="UNIX seconds; when access ends as things stand")]
    scope: Annotated[str, Meta(description="what the exchange granted: reading the account, and nothing else")]
    problem: Annotated[str, Meta(description="why the login is not renewed now")] | UnsetType = UNSET


class LoginWaitingEvent(Struct, frozen=True, tag_field="kind", tag="login_waiting", forbid_unknown_fields=True):
    """The login waits for its turn at the exchange: sent every few seconds."""

    place: Annotated[int, Meta(description="1 for the next")]
    seconds: Annotated[int, Meta(description="about how long it still waits")]


class LoginFailedEvent(Struct, frozen=True, tag_field="kind", tag="login_failed", forbid_unknown_fields=True):
    """Why the login failed."""

    reason: Sentence


class LoggedOutEvent(Struct, frozen=True, tag_field="kind", tag="logged_out", forbid_unknown_fields=True):
    """Why the person is no longer logged in."""

    reason: Sentence
