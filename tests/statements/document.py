"""Writes docs/exchange.md from the list of statements: `make exchange-document`."""

from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

from cryptomarket.statements import STATEMENTS, TOPICS, UNCONFIRMED, ConfirmedBy, Statement
from cryptomarket.statements.statement import DERIBIT, EVERY_HOST, shown

__all__ = ["DOCUMENT", "document"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "exchange.md"

HEAD = """# The exchange as this program understands it

This page is generated from `cryptomarket/statements/` by `make exchange-document`. The client, the simulator and
`cryptomarket verify` use the same statements by their names, so a change of the exchange is made in one place.

`cryptomarket verify` compares each statement with the exchange;
[Operating](operate.md#does-it-work-against-the-real-exchange) says how. A statement holds for Deribit, in production
and on the test net. Where it holds elsewhere too, or not there, its hosts are named: `streams` is the host of market
data of Coinbase, `main` its host of private calls.

"Confirmed by" is the strongest source: a recording of real messages, a probe that somebody made and wrote down, the
documentation of the exchange, or nobody yet. What nobody has confirmed is a switch of the simulator:
`cryptomarket simulate --switch NAME=VALUE`. The tests run the client with each value.
"""


def document() -> str:
    """The whole page."""
    counts = {by: sum(one.confirmed_by is by for one in STATEMENTS.values()) for by in ConfirmedBy}
    summary = ", ".join(f"{count} by {by}" for by, count in counts.items() if by is not ConfirmedBy.NOBODY)
    lines = [HEAD, f"{len(STATEMENTS)} statements: {summary}, {len(UNCONFIRMED)} by nobody yet.", ""]
    return "\n".join([*lines, *chain.from_iterable(map(_topic, TOPICS))])


def _topic(topic: ModuleType) -> list[str]:
    rows = [value for value in vars(topic).values() if isinstance(value, Statement)]
    title = topic.__name__.rpartition(".")[2].capitalize()
    head = ["| name | statement | confirmed by | source |", "| --- | --- | --- | --- |"]
    return [f"## {title}", "", " ".join(str(topic.__doc__).split()), "", *head, *map(_row, rows), ""]


def _row(statement: Statement[Any]) -> str:
    text = statement.sentence
    if statement.others:
        others = "the opposite" if isinstance(statement.value, bool) else " or ".join(map(shown, statement.others))
        text += f" Otherwise: {others}."
    if statement.hosts != (DERIBIT,):
        text += f" Hosts: {_hosts(statement.hosts)}."
    cells = (f"`{statement.name}`", text, str(statement.confirmed_by), statement.source)
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _hosts(hosts: tuple[str, ...]) -> str:
    return "all" if set(hosts) == set(EVERY_HOST) else ", ".join(host.removeprefix("coinbase-") for host in hosts)


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
