"""The stream in a terminal: its parser and its lines."""

import io
from collections.abc import AsyncIterator

from rich.console import Console

from cryptomarket.cli.tail import Event, Lines, events

TICK = '{"ticker":"btc_usd","price":64250.10,"timestamp":1763668800,"exchange_timestamp":1763668800123}'


async def parsed(text: str) -> tuple[list[Event], list[float]]:
    async def lines() -> AsyncIterator[str]:
        for line in text.split("\n"):
            yield line

    waits: list[float] = []
    return [event async for event in events(lines(), waits.append)], waits


async def test_an_event_has_its_name_id_and_data() -> None:
    """Fields are collected until the empty line; a retry is passed on at once."""
    found, waits = await parsed(f"retry: 3170\n\nid: 7-1\nevent: btc_usd\ndata: {TICK}\n\n")
    assert found == [Event("btc_usd", "7-1", TICK)]
    assert waits == [3.17]


async def test_an_unfinished_event_is_no_event() -> None:
    """An incomplete event is dropped; comments and unknown fields are ignored."""
    found, _ = await parsed(f": hello\nfoo: bar\n\nevent: btc_usd\ndata: {TICK}")
    assert found == []


async def test_a_line_for_scripts_keeps_every_digit() -> None:
    """The data is printed unchanged."""
    assert '"price":64250.10,' in Event("btc_usd", "7-1", TICK).json()


async def test_lines_for_people_show_fields() -> None:
    """Each group after the price, with every digit; a group that the exchange does not send is a dash."""
    out = io.StringIO()
    text = '{"ticker":"A","price":1,"timestamp":1763668800,"quote":{"last":1.50,"bid":null},"greeks":null}'
    Lines(Console(file=out, width=100)).show(Event("A", "7-1", text))
    assert out.getvalue().rstrip().endswith("quote last=1.50 bid=-  greeks -")


async def test_lines_for_people_show_price_and_direction() -> None:
    """A higher price has an arrow up; the state of the connection has its own line."""
    out = io.StringIO()
    lines = Lines(Console(file=out, width=100))
    lines.show(Event("btc_usd", "7-1", TICK))
    lines.show(Event("btc_usd", "7-2", TICK.replace("64250.10", "64251")))
    lines.show(Event("connection", "", '{"kind":"upstream","state":"stale","since":1,"ages":{}}'))
    lines.show(Event("connection", "", '{"kind":"gap","from":null,"reason":"full","ticker":"sol_usd"}'))
    first, second, third, fourth = out.getvalue().splitlines()
    assert "64250.10" in first
    assert "64251 ▲" in second
    assert "upstream stale" in third
    assert "gap full sol_usd" in fourth
