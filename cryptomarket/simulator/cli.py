"""The command ``simulate``: accounts, address, and running until a signal."""

import signal
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import anyio

from .accounts import DEFAULT_ACCOUNT, SimulatedAccount
from .exchange import running_exchange
from .switches import Switches

__all__ = ["CannotSimulate", "accounts_of", "simulate_exchange"]


class CannotSimulate(Exception):
    """The arguments of the command are wrong; the message names which."""


def accounts_of(options: Iterable[tuple[str, str]]) -> list[SimulatedAccount]:
    """One account for each ``client_id`` among the options, (name, value) in order; the default one without any.

    A ``client_secret`` and an ``email`` belong to the ``client_id`` before them. Raises CannotSimulate naming what is
    missing or given twice; the message contains no secret.
    """
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
            if not accounts:
                raise CannotSimulate(f"{option} is given before any --client-id; it belongs to the one before it")
            if name in accounts[client_id]:
                raise CannotSimulate(f"--client-id {client_id} has two {option}")
            accounts[client_id][name] = value
    if missing := [client_id for client_id, given in accounts.items() if "client_secret" not in given]:
        raise CannotSimulate(f"--client-id {missing[0]} has no --client-secret after it")
    return [SimulatedAccount(client_id, **given) for client_id, given in accounts.items()] or [DEFAULT_ACCOUNT]


async def simulate_exchange(
    host: str,
    port: int,
    seed: int,
    accounts: Sequence[SimulatedAccount],
    replay: Sequence[Path],
    speed: float,
    faults: Sequence[str] = (),
    switches: Sequence[str] = (),
    time_scale: float = 1.0,
) -> None:
    """Run the exchange until SIGINT or SIGTERM, after printing its addresses and accounts.

    ``faults`` are texts like ``drop/30``, ``switches`` texts like ``close_code=0``; see the modules of these names.
    """
    try:
        turned = Switches.parse(switches)
        async with running_exchange(
            host=host,
            port=port,
            seed=seed,
            accounts=accounts,
            replay=replay,
            speed=speed,
            time_scale=time_scale,
            switches=turned,
            faults=faults,
        ) as exchange:
            print(f"simulated exchange at {exchange.ws_url} and {exchange.http_url}", flush=True)
            for account in accounts:
                # A simulated secret: it is valid for this process only.
                key = f"{account.client_id} secret {account.client_secret}"
                print(f"account {key} e-mail {account.address}", flush=True)
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    return
    except ValueError as exc:  # an unreadable recording, an unknown fault or switch; the message names it
        raise CannotSimulate(str(exc)) from exc
    except OSError as exc:
        raise CannotSimulate(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
