from pathlib import Path
from typing import Any

import anyio
import jsonschema_rs

from cryptomarket.conformance.eventsource import EventSourceParser, MessageEvent
from cryptomarket.model import Gap, UpstreamState
from tests.reader import reading

from .site import Site, running_site


async def read(site: Site, count: int, last_event_id: str = "") -> list[MessageEvent]:
    """The first events of a stream of every tick."""
    parser, found = EventSourceParser(), []
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    query = "/sse/?timer=0&channels=btc_usd,BTC-PERPETUAL"
    with anyio.fail_after(60):
        async with site.client.stream("GET", query, headers=headers) as answer:
            async for chunk in answer.aiter_bytes():
                found += parser.receive(chunk)
                if len(found) >= count:
                    break
    return found


def validator(document: dict[str, Any], name: str) -> Any:
    """Checks values against a schema of the document."""
    return jsonschema_rs.validator_for({**document, "$ref": f"#/components/schemas/{name}"})


async def test_every_event_of_the_stream_is_as_openapi_describes_it(tmp_path: Path) -> None:
    """Prices, states and gaps validate, envelope and content; a wrong one would not."""
    async with running_site(tmp_path, live=True) as site:
        document = (await site.get("/openapi.json")).json()
        site.tick("btc_usd", "64250.13")
        site.upstream(UpstreamState.LIVE)
        site.bus.publish(Gap("eth_usd"))
        async with reading(f"{site.address}/sse/?timer=0&channels=btc_usd,BTC-PERPETUAL") as reader:
            await reader.next("btc_usd")  # joined: the instrument is followed from here on
            site.tick("BTC-PERPETUAL", "64251.5")
            await reader.next("BTC-PERPETUAL")
            events = [*await read(site, 3), *await read(site, 4, "0-1"), *await read(site, 4, "nonsense")]
    described = document["paths"]["/sse/"]["get"]["responses"]["200"]["content"]["text/event-stream"]["itemSchema"]
    assert described == {"$ref": "#/components/schemas/StreamEvent"}
    envelope, price, connection = (validator(document, name) for name in ("StreamEvent", "Price", "Connection"))
    kinds = set()
    for event in events:
        said = {"event": event.event, "data": event.data}
        if event.event == "connection":
            kinds.add(event.json["kind"])
            connection.validate(event.json)
        else:
            said["id"] = event.id
            price.validate(event.json)
        envelope.validate(said)
    assert kinds == {"upstream", "gap"}
    assert not connection.is_valid({"kind": "upstream", "state": "fine", "since": 1, "ages": {}})
