"""The command ``simulate``: accounts, address, and running until a signal."""

import signal
from collections.abc import Sequence
from pathlib import Path

import anyio

from .accounts import DEFAULT_ACCOUNT, SimulatedAccount
from .exchange import running_exchange
from .switches import Switches

__all__ = ["CannotSimulate", "accounts_of", "simulate_exchange"]


class CannotSimulate(Exception):
    """The arguments of the command are wrong; the message names which."""


def accounts_of(
    client_ids: Sequence[str], client_secrets: Sequence[str], emails: Sequence[str]
) -> list[SimulatedAccount]:
    """One account for each client id, in the order in which they were given; the default one when there are none."""
    if len(client_ids) != len(client_secrets) or len(emails) > len(client_ids):
        raise CannotSimulate("each --client-id needs its --client-secret, and each --email a --client-id")
    if len(set(client_ids)) != len(client_ids):
        raise CannotSimulate("a --client-id is given twice")
    padded = [*emails, *[""] * (len(client_ids) - len(emails))]
    return [SimulatedAccount(*given) for given in zip(client_ids, client_secrets, padded, strict=True)] or [
        DEFAULT_ACCOUNT
    ]


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
                print(f"account {account.client_id} secret {account.client_secret} e-mail {account.email}", flush=True)
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    return
    except ValueError as exc:  # an unreadable recording, an unknown fault or switch; the message names it
        raise CannotSimulate(str(exc)) from exc
    except OSError as exc:
        raise CannotSimulate(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
