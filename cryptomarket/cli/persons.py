"""Commands for persons: rotate the encryption keys, list persons, forget one."""

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import StartError
from ..logs import configure_logs
from ..settings import Settings, read_settings
from .shared import Json, revealed, run_async

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ..persons.person import Person

__all__ = ["key_place", "persons", "rotate_keys"]


def rotate_keys(
    drop_old: Annotated[bool, typer.Option("--drop-old", help="Remove the old keys instead of adding one.")] = False,
) -> None:
    """Encrypt and sign with a new key while gateways run; nobody is logged out.

    The key file gets a new key. Running gateways read it within seconds, first as one that they accept, then as the one
    that they use. Old keys stay, because browsers have cookies and tokens of them: remove them after 7 days with
    --drop-old. It wraps all logins in Redis with the newest key, and removes no key while a login needs it.

    CRYPTOMARKET_SECRET_KEY is a variable, which cannot change in running gateways: put a new key after the old one and
    restart all gateways, put it first and restart them again, then run this command. Remove the old key after 7 days.

    Example: cryptomarket rotate-keys
    """
    from ..persons.keys import add_key, drop_old_keys, file_keys, use_newest_key

    settings = read_settings()
    configure_logs("WARNING", settings.log_format, node=settings.node)
    keys, redis, place = _keys(settings), revealed(settings.redis_url), key_place(settings)
    in_file = settings.secret_key is None
    if not in_file and len(keys()) < 2:
        raise StartError("CRYPTOMARKET_SECRET_KEY holds one key: put the new one after it, with a comma")
    if drop_old and len(file_keys(place)() if in_file else keys()) < 2:
        raise StartError("there is one key, and no old one to remove")
    if in_file and not drop_old:
        file_keys(place)()  # creates the file if it is missing
        add_key(place)
        if redis is not None:
            _await_gateways()  # each node knows the new key before another one signs with it
        use_newest_key(place)
        if redis is not None:
            _await_gateways()  # until then they wrap logins with the old key
    if redis is not None:
        run_async(partial(_rewrap, redis, keys, drop_old))
    if drop_old and in_file:
        drop_old_keys(place)
        print("the old keys are removed; cookies and tokens of them have ended", file=sys.stderr)
    elif drop_old:
        print("nothing needs the old keys: now remove them from CRYPTOMARKET_SECRET_KEY and restart", file=sys.stderr)
    elif not in_file:
        print("running gateways have the keys of their start: restart those without the new one", file=sys.stderr)
    if redis is None:
        print("without Redis no logins are stored: a gateway that runs keeps its own", file=sys.stderr)


def _await_gateways() -> None:
    """Wait until every running gateway has read the key file."""
    from ..persons.keyring import REREAD_SECONDS

    time.sleep(REREAD_SECONDS + 0.5)


async def _rewrap(redis: str, keys: Callable[[], Sequence[str]], drop_old: bool) -> None:
    """Wrap all logins with the newest key. Raises StartError for those that cannot be, or with ``drop_old`` still."""
    from ..persons.admin import of_old_keys, rewrap_all
    from ..persons.cache.redis import RedisCache
    from ..persons.vault import Vault

    async with _redis_client(redis) as client:
        cache, every, newest = RedisCache(client), Vault(keys), Vault(lambda: tuple(keys())[:1])
        wrapped, unreadable = await rewrap_all(cache, every)
        print(f"{wrapped} records sealed with the newest key")
        old = await of_old_keys(cache, newest, every) if drop_old else 0
    if old:
        raise StartError(f"{old} records need an old key, such as those of log-ins in progress: try again in 3 minutes")
    if unreadable and not drop_old:
        raise StartError(f"{unreadable} records cannot be opened with any of the keys and were not changed")


persons = typer.Typer(help="Persons who logged in: list them, forget one.", no_args_is_help=True)


@persons.command("list")
def list_persons(as_json: Json = False) -> None:
    """Print the persons who were seen, with the first and the last time, and until when they are logged in now.

    With Redis the logins are read from there; without, they are those that the gateway wrote some seconds ago, and none
    when it was stopped.

    Example: cryptomarket persons list --json
    """
    from ..database.synchronous import read_synchronously
    from ..persons.admin import persons_seen
    from ..persons.seen_repository import list_seen

    settings = read_settings()
    configure_logs("WARNING", settings.log_format, node=settings.node)
    rows = read_synchronously(revealed(settings.database_url) or "", list_seen)
    redis = revealed(settings.redis_url)
    for seen in persons_seen(rows, run_async(partial(_logged_in, settings, redis)) if redis else None):
        if as_json:
            print(json.dumps(dataclasses.asdict(seen)))
        else:
            first, last = _iso(seen.first), _iso(seen.last)
            now = f"  logged in until {_iso(seen.logged_in_until)}" if seen.logged_in_until else ""
            print(f"{seen.person_id}  {seen.username}  {seen.email}  {first}  {last}{now}")


async def _logged_in(settings: Settings, redis: str) -> list["Person"]:
    from ..persons.browser_sessions import BrowserSessions
    from ..persons.cache.redis import RedisCache
    from ..persons.vault import Vault

    async with _redis_client(redis) as client:
        sessions = BrowserSessions(RedisCache(client), Vault(_keys(settings)))
        return [person async for person in sessions.logged_in()]


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


@persons.command("forget")
def forget_person(who: Annotated[str, typer.Argument(help="The person's id, username or e-mail.")]) -> None:
    """Delete a person from the database and end its logins in Redis; exit code 1 when no person matches.

    Example: cryptomarket persons forget ada@example.com
    """
    from ..cluster.redis.publisher import publish_notification
    from ..database.synchronous import write_synchronously
    from ..persons.admin import end_logins
    from ..persons.browser_sessions import BrowserSessions
    from ..persons.cache.redis import RedisCache
    from ..persons.last_seen import WRITE_SECONDS
    from ..persons.seen_repository import delete_person
    from ..persons.vault import Vault

    settings = read_settings()
    configure_logs("WARNING", settings.log_format, node=settings.node)
    redis = revealed(settings.redis_url)

    async def run() -> list[str]:
        if redis is None:
            return []
        async with _redis_client(redis) as client:
            vault = Vault(_keys(settings))
            sessions = BrowserSessions(RedisCache(client), vault)
            return await end_logins(sessions, who, partial(publish_notification, client, vault.keyring))

    ended = run_async(run)
    if ended:
        time.sleep(2 * WRITE_SECONDS)  # a gateway may be about to write that it saw the person
    deleted = write_synchronously(revealed(settings.database_url) or "", delete_person, who)
    if not deleted and not ended:
        raise StartError("no person has that id, username or e-mail")
    print(f"{len(deleted)} erased from the database, {len(ended)} logins ended")
    if redis is None:
        print("without Redis a login of a running gateway ends, and is forgotten, when it restarts", file=sys.stderr)


@contextlib.asynccontextmanager
async def _redis_client(url: str) -> AsyncIterator["Redis"]:
    from ..cluster.redis.client import redis_client

    async with contextlib.aclosing(redis_client(url)) as client:
        yield client


def key_place(settings: Settings) -> Path:
    """The place of the key file, whether it exists or not."""
    from ..persons.keys import key_file

    return Path(settings.secret_key_file or key_file(revealed(settings.database_url) or ""))


def _keys(settings: Settings) -> Callable[[], Sequence[str]]:
    from ..persons.keys import operator_keys

    return operator_keys(revealed(settings.secret_key), key_place(settings))
