"""The outcome of a run as Markdown, to attach to a bug. It contains no secret and nothing about an account."""

from collections.abc import Iterable, Sequence

from .rows import Row, Verdict

__all__ = ["findings", "report"]


def findings(rows: Iterable[Row]) -> list[Row]:
    """The rows that settle what nobody had confirmed, in either position."""
    return [row for row in rows if not row.statement.confirmed and row.result is not Verdict.NOT_CHECKED]


def report(rows: Sequence[Row], *, door: str, places: Sequence[str], when: str, version: str, options: str) -> str:
    """The whole report; ``when`` is the time of the run, ``places`` are the addresses."""
    counts = {result: sum(row.result is result for row in rows) for result in Verdict}
    lines = [
        "# What the exchange does, and what cryptomarket expects",
        "",
        f"- Time: {when}",
        f"- Door: {door}; {', '.join(places)}",
        f"- Program: cryptomarket {version}{f', {options}' if options else ''}",
        f"- Statements: {', '.join(f'{count} {result}' for result, count in counts.items())}",
    ]
    parts = (
        ("Differs", [row for row in rows if row.result is Verdict.DIFFERS]),
        ("Nobody had confirmed these", findings(rows)),
        ("Confirmed", [row for row in rows if row.result is Verdict.CONFIRMED and row.statement.confirmed]),
        ("Not checked", [row for row in rows if row.result is Verdict.NOT_CHECKED]),
    )
    for title, chosen in parts:
        lines += ["", f"## {title}", "", *(_table(chosen) if chosen else ["None."])]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    lines = ["| statement | host | expected | seen | says | source |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        one = row.statement
        cells = (f"`{one.name}`", row.host, row.expected, row.seen, one.sentence, one.source)
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
