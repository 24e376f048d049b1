"""The command ``simulate``: accounts, address, and running until a signal."""

import signal
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio

from .accounts import CDP_ACCOUNT, SimulatedAccount
from .coinbase_keys import new_key_pair
from .doors import DERIBIT, DOORS
from .exchange import Exchange, running_exchange
from .switches import Switches

__all__ = ["CannotSimulate", "accounts_of", "simulate_exchange"]


class CannotSimulate(Exception):
    """The arguments of the command are wrong; the message names which."""


def accounts_of(options: Iterable[tuple[str, str]], door: str = DERIBIT.name) -> list[SimulatedAccount]:
    """One account for each ``client_id`` among the options, (name, value) in order.

    A ``client_secret`` and an ``email`` belong to the ``client_id`` before them; keys of Coinbase have no secret.
    Raises CannotSimulate naming what is missing, given twice or unknown; the message contains no secret.
    """
    if door not in DOORS:
        raise CannotSimulate(f"unknown door {door!r}: expected one of {', '.join(DOORS)}")
    has_secrets = "client_credentials" in DOORS[door].grants
    accounts: dict[str, dict[str, Any]] = {}
    client_id = ""
    for name, value in options:
        if name == "client_id":
            client_id = value
            if client_id in accounts:
                raise CannotSimulate(f"--client-id {client_id} is given twice")
            accounts[client_id] = {}
        elif name in ("client_secret", "email"):
            option = f"--{name.replace('_', '-')}"
            if name == "client_secret" and not has_secrets:
                raise CannotSimulate(f"{option} is no option of the door {door}")
            if not accounts:
                raise CannotSimulate(f"{option} is given before any --client-id; it belongs to the one before it")
            if name in accounts[client_id]:
                raise CannotSimulate(f"--client-id {client_id} has two {option}")
            accounts[client_id][name] = value
    if has_secrets and (
        missing := [client_id for client_id, given in accounts.items() if "client_secret" not in given]
    ):
        raise CannotSimulate(f"--client-id {missing[0]} has no --client-secret after it")
    return [SimulatedAccount(client_id, **given) for client_id, given in accounts.items()]


def with_keys(accounts: Sequence[SimulatedAccount]) -> tuple[list[SimulatedAccount], list[str]]:
    """Returns the accounts with a new CDP key each, and the private keys (PEM) in the same order."""
    pairs = [new_key_pair() for _ in accounts]
    keyed = [replace(account, public_key=pair.public) for account, pair in zip(accounts, pairs, strict=True)]
    return keyed, [pair.private for pair in pairs]


async def simulate_exchange(
    host: str,
    port: int,
    door: str,
    seed: int,
    accounts: Sequence[SimulatedAccount],
    replay: Sequence[Path],
    speed: float,
    faults: Sequence[str] = (),
    switches: Sequence[str] = (),
    time_scale: float = 1.0,
    day: bool = False,
) -> None:
    """Run the exchange until SIGINT or SIGTERM, after printing its addresses and accounts.

    ``faults`` are texts like ``drop/30``, ``switches`` texts like ``close_code=0``; see the modules of these names.
    """
    private_keys: list[str] = []
    if "coinbase_cdp" in DOORS[door].grants:
        accounts, private_keys = with_keys(accounts or [CDP_ACCOUNT])
    try:
        turned = Switches.parse(switches)
        async with running_exchange(
            host=host,
            port=port,
            door=door,
            seed=seed,
            accounts=accounts,
            replay=replay,
            speed=speed,
            time_scale=time_scale,
            day=day,
            switches=turned,
            faults=faults,
        ) as exchange:
            print(f"simulated exchange at {exchange.ws_url} and {exchange.http_url}", flush=True)
            print_accounts(exchange, private_keys)
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    return
    except ValueError as exc:  # an unreadable recording, an unknown fault or switch; the message names it
        raise CannotSimulate(str(exc)) from exc
    except OSError as exc:
        raise CannotSimulate(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc


def print_accounts(exchange: Exchange, private_keys: Sequence[str]) -> None:
    """Prints the accounts with their secrets or private keys, which are valid for this process only."""
    if exchange.state.door.oauth:
        print(f"OAuth2 client {exchange.oauth_client.client_id} at {exchange.oauth_url}/auth", flush=True)
    if not exchange.state.door.grants:
        return
    for place, account in enumerate(exchange.accounts):
        if private_keys:
            print(f"account {account.client_id} e-mail {account.address}", flush=True)
            print(private_keys[place], end="", flush=True)
        else:
            key = f"{account.client_id} secret {account.client_secret}"
            print(f"account {key} e-mail {account.address}", flush=True)
