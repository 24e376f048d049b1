"""A gateway at the doors of the exchange: what /readyz says of a host that is the wrong one."""

from pathlib import Path

import httpx2

from cryptomarket.app.gateway import Gateway
from cryptomarket.model import UpstreamState
from cryptomarket.simulator.exchange import running_exchange
from tests.app.test_gateway import settings_for
from tests.deribit.scripted import refuse, scripted_exchange
from tests.processes import eventually
from tests.web.site import running_server


async def test_a_host_that_sends_no_prices_makes_the_node_unavailable(tmp_path: Path) -> None:
    """/readyz answers 503 with the name of the host and the settings; pages and the catalogue go on."""
    async with running_exchange() as exchange, scripted_exchange() as other:
        other.answers["public/subscribe"] = refuse
        gateway = Gateway(settings_for(tmp_path, exchange, deribit_ws_url=other.url))
        async with (
            gateway.running(),
            running_server(gateway.app) as address,
            httpx2.AsyncClient(base_url=address, timeout=60) as client,
        ):
            await eventually(lambda: gateway.latest.upstream().state is UpstreamState.DOWN, "upstream is down")
            ready = await client.get("/readyz")
            assert ready.status_code == 503
            detail = ready.json()["checks"]["upstream"]["detail"]
            assert detail.startswith("down: 127.0.0.1 sends no prices: wrong host? see CRYPTOMARKET_EXCHANGE")
            assert (await client.get("/")).status_code == 200
