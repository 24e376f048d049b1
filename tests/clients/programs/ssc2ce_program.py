"""Log in, subscribe and print what ssc2ce 0.14 receives: ``address client_id client_secret channel...``."""

import asyncio
import json
import sys

from ssc2ce import Deribit
from ssc2ce.deribit.deribit import AuthType

MESSAGES = 40


async def main(address: str, client_id: str, client_secret: str, *channels: str) -> None:
    client = Deribit(client_id, client_secret, scope="connection", auth_type=AuthType.CREDENTIALS)
    client.ws_api = client.ws_api.replace("wss://test.deribit.com", address)  # its path with the slash stays
    received = 0

    async def instruments(data: dict[str, object]) -> None:
        print(json.dumps({"instruments": data["result"]}))

    async def authenticated() -> None:
        await client.set_heartbeat(10)
        await client.get_instruments("BTC", callback=instruments)
        await client.send_private({"method": "private/get_account_summary", "params": {"currency": "BTC"}})
        await client.send_public({"method": "public/subscribe", "params": {"channels": list(channels)}})

    async def subscription(message: dict[str, object]) -> None:
        nonlocal received
        print(json.dumps(message["params"]))
        received += 1
        if received == MESSAGES:
            await client.stop()

    client.on_authenticated = lambda: asyncio.ensure_future(authenticated())
    client.method_routes += [("subscription", subscription)]
    await client.run_receiver()


asyncio.run(main(*sys.argv[1:]))
