"""Call methods and receive channels by coinbase-advanced-py 2.0: ``address key secret work``, an empty key for none.

The work is a JSON object: ``calls`` as ``[[method, parameters], ...]``, ``channels`` to wait for until each has spoken,
for at most twenty seconds, and ``quiet`` ones.
An address of ``ws`` is for its WebSocket client, one without a scheme for its REST client.
"""

import json
import sys
import threading
from typing import Any

from coinbase.deribit import DeribitRetailClient, DeribitRetailWSClient
from coinbase.deribit.errors import DeribitAuthError, DeribitRPCError, DeribitSubscriptionError

SECONDS = 20


def say(**values: Any) -> None:
    """Print a line."""
    print(json.dumps(values, default=lambda model: model.to_dict()), flush=True)


def answers(client: Any, calls: list[tuple[str, dict[str, Any]]]) -> None:
    """Call each method and print its answer."""
    for method, parameters in calls:
        try:
            say(method=method, result=getattr(client, method)(**parameters)["result"])
        except DeribitRPCError as exc:
            say(method=method, error=exc.code)


def receive(client: Any, channels: list[str], quiet: list[str]) -> threading.Event:
    """Subscribe, and print the first message of each channel; returns what is set when all but quiet ones spoke."""
    spoken, all_spoke = set[str](), threading.Event()

    def heard(data: Any, channel: str) -> None:
        if channel not in spoken:
            spoken.add(channel)
            say(channel=channel, data=data)
        if spoken >= set(channels):
            all_spoke.set()

    try:
        client.subscribe(channels + quiet, heard)
    except DeribitSubscriptionError as exc:
        say(rejected=exc.rejected)
    return all_spoke


def main(address: str, key: str, secret: str, work: str) -> None:
    """Do the work and print what comes."""
    todo = json.loads(work)
    keys = {"api_key": key or None, "api_secret": secret or None}
    try:
        if not address.startswith("ws"):
            answers(DeribitRetailClient(**keys, base_url=address), todo["calls"])
            return
        with DeribitRetailWSClient(**keys, url=address) as client:
            waited = receive(client, todo["channels"], todo.get("quiet", [])) if todo.get("channels") else None
            answers(client, todo["calls"])
            if waited is not None:
                waited.wait(SECONDS)
                client.unsubscribe_all()  # its close takes ten seconds when a message is on the way
            if key:
                say(method="private_logout", result=client.private_logout()["result"])
    except DeribitAuthError as exc:
        say(refused=str(exc))


main(*sys.argv[1:])
