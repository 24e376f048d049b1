"""Takes a snapshot of each public contract of this program as text that can be compared line by line.

`python -m tests.contracts.snapshots` writes the files beside this one. A difference that is intended goes into
CHANGELOG.md with its reason, in the same commit as the changed file.
"""

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Callable
from decimal import Decimal
from enum import Enum, EnumType
from pathlib import Path
from typing import Any

import anyio
import httpx2
import typer.main
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from cryptomarket.cli import app
from cryptomarket.model import Gap, Tick, Upstream, UpstreamState
from cryptomarket.settings import PREFIX, Settings, secrets_in_files
from tests.processes import run_program, running_program
from tests.reader import reading
from tests.stream.reader import Harness, Reader

__all__ = ["FOLDER", "SNAPSHOTS", "normalised"]

FOLDER = Path(__file__).parent

#: Texts for people. They may be reworded; `title` is the name that a schema repeats.
PROSE = {"description", "summary", "title", "example", "examples", "discriminator"}
#: Keys whose value maps names to schemas, so that a property called `title` is no prose.
NAMED = {"properties", "schemas", "responses", "content", "paths"}


def normalised(document: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI document without prose; what can be written in several ways is written in one.

    Schemas refer to no other schema: each contains the whole of what it describes.
    """
    schemas = document["components"]["schemas"]

    def shape(node: Any, *, inline: bool) -> Any:
        if isinstance(node, list):
            return [shape(entry, inline=inline) for entry in node]
        if not isinstance(node, dict):
            return node
        if inline and "$ref" in node:
            return shape(schemas[node["$ref"].removeprefix("#/components/schemas/")], inline=True)
        kept = {
            key: {name: shape(entry, inline=inline) for name, entry in value.items()}
            if key in NAMED
            else shape(value, inline=inline)
            for key, value in node.items()
            if key not in PROSE
        }
        if "const" in kept:
            kept["enum"] = [kept.pop("const")]
        if "oneOf" in kept:
            kept["anyOf"] = kept.pop("oneOf")
        if isinstance(kept.get("type"), list):
            kept["anyOf"] = [{"type": kind} for kind in kept.pop("type")]
        for key in ("anyOf", "enum", "required", "parameters"):
            if isinstance(kept.get(key), list):  # their order means nothing
                kept[key] = sorted(kept[key], key=lambda entry: json.dumps(entry, sort_keys=True))
        if kept.get("required") == []:
            del kept["required"]
        return kept

    return {
        "openapi": document["openapi"],
        "paths": {path: shape(entry, inline=False) for path, entry in document["paths"].items()},
        "schemas": {name: shape(entry, inline=True) for name, entry in schemas.items()},
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


async def _from_demo(read: Callable[[str], Any]) -> Any:
    """What ``read`` returns for the address of a running `cryptomarket demo`."""
    with tempfile.TemporaryDirectory() as folder:
        async with running_program(Path(folder), "demo", max_streams_per_address=1) as program:
            return await read(await program.url())


def openapi() -> str:
    """The OpenAPI document, normalised."""

    async def read(url: str) -> Any:
        async with httpx2.AsyncClient(timeout=60) as client:
            return (await client.get(f"{url}/openapi.json")).json()

    return _json(normalised(anyio.run(_from_demo, read)))


def metrics() -> str:
    """The name, type and labels of each metric."""

    async def read(url: str) -> dict[str, Any]:
        async with reading(f"{url}/sse/?timer=0") as reader, httpx2.AsyncClient(timeout=60) as client:
            await reader.next("btc_usd")
            assert (await client.get(f"{url}/sse/")).status_code == 200  # turned away, which has a label of its own
            found: dict[str, Any] = {}

            async def complete() -> bool:
                text = (await client.get(f"{url}/metrics")).text
                for family in text_string_to_metric_families(text):
                    labels = {label for sample in family.samples for label in sample.labels}
                    found[family.name] = {"type": family.type, "labels": sorted(labels)}
                return "cryptomarket_persons" in found and "cryptomarket_slots_written" in found

            with anyio.fail_after(30):
                while not await complete():
                    await anyio.sleep(0.1)
        return found

    return _json(anyio.run(_from_demo, read))


def settings() -> str:
    """The name, default and help text of each setting."""

    def default(field: FieldInfo) -> str:
        value = field.get_default(call_default_factory=True)
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

    fields = Settings.model_fields.items()
    found = {PREFIX + name.upper(): {"default": default(f), "help": f.description} for name, f in fields}
    for file, name in secrets_in_files().items():
        found[PREFIX + file.upper()] = {"default": "", "help": f"a file that holds {PREFIX}{name.upper()}"}
    return _json(found)


def cli() -> str:
    """The commands, and the options of each."""
    found: dict[str, Any] = {}

    def kind(descriptor: Any) -> str | list[str]:
        annotation: Any = getattr(descriptor, "annotation", None)
        if isinstance(annotation, EnumType):
            return list(map(str, annotation))
        return str(getattr(annotation, "__name__", ""))

    def walk(name: str, command: Any) -> None:
        found[name] = {
            ", ".join([*parameter.opts, *parameter.secondary_opts]): {
                "type": kind(getattr(parameter, "type_descriptor", None)),
                "default": str(parameter.default.value if isinstance(parameter.default, Enum) else parameter.default),
                "required": parameter.required,
            }
            for parameter in command.params
        }
        for child, inner in getattr(command, "commands", {}).items():
            walk(f"{name} {child}", inner)

    walk("cryptomarket", typer.main.get_command(app))
    return _json(found)


def schema() -> str:
    """The database schema, as SQLite has it after all migrations."""
    with tempfile.TemporaryDirectory() as folder:
        code, _, log = anyio.run(run_program, Path(folder), "migrate")
        assert code == 0, log
        with contextlib.closing(sqlite3.connect(Path(folder) / "history.db")) as database:
            query = "SELECT type || ' ' || name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name"
            rows = database.execute(query).fetchall()
    return "\n".join(f"-- {name}\n{sql};\n" for name, sql in rows)


def stream() -> str:
    """The bytes that each of several readers of `/sse/` gets, under a fixed clock and fixed draws."""
    harness = Harness(max_tickers=3)
    lines: list[str] = []
    readers: dict[str, Reader] = {}

    def step(title: str) -> None:
        lines.append(f"=== {title}")
        for name, reader in readers.items():
            for write in reader.writes:
                lines.append(f"--- written to {name}, {len(write)} bytes")
                lines.append(write.decode())
            reader.clear()

    readers["early, timer=5"], _ = harness.join(5)
    step("join before any tick")
    harness.live()
    harness.publish(1, 2)
    harness.publish(3, ticker="eth_usd")
    harness.advance(6)
    step("upstream live, three ticks, six seconds")
    readers["resuming, timer=0"], _ = harness.join(0, "btc_usd", last_event_id="7-1")
    readers["lost, timer=60"], _ = harness.join(60, last_event_id="6-911")
    readers["forging, timer=60"], _ = harness.join(60, last_event_id="nonsense")
    step("join with a Last-Event-ID")
    harness.publish(4, 5)
    harness.turn()
    harness.publish(6, ticker="sol_usd")
    harness.bus.publish(Gap("btc_usd"))
    harness.advance(5)
    step("two ticks, then a refused ticker")
    readers["instrument, timer=0"], _ = harness.join(0, "BTC-PERPETUAL")
    harness.bus.publish(
        Tick("BTC-PERPETUAL", Decimal("64000.50"), 1_763_668_800_007, last=Decimal(64001), bid=Decimal("1E+3"))
    )
    harness.turn()
    step("an instrument")
    readers["asking for too much, timer=60"], _ = harness.join(60, "btc_usd", "FULL-1", unknown=("BTC-26JUN20",))
    step("an unknown name, and a ticker for which there is no room")
    harness.advance(20)
    step("silence")
    harness.bus.publish(Upstream(UpstreamState.STALE, 1_763_669_036_000, "no ticks"))
    harness.advance(1)
    step("upstream stale")
    readers["with fields, timer=0"], _ = harness.join(0, "BTC-PERPETUAL", "eth_usd", fields="interest,quote,greeks")
    values = "64001,1000,null,71750.0,0.0", None, None, None, "797578130,64000.1,null"
    harness.bus.publish(Tick("BTC-PERPETUAL", Decimal("64000.51"), 1_763_668_800_008, Decimal(64001), fields=values))
    harness.publish(7, ticker="eth_usd")
    harness.turn()
    step("an instrument with fields")
    anyio.run(harness.manager.drain, 0)
    step("stop")
    return "\n".join(lines) + "\n"


#: The file of each contract, and what takes its snapshot.
SNAPSHOTS: dict[str, Callable[[], str]] = {
    "openapi.json": openapi,
    "settings.json": settings,
    "metrics.json": metrics,
    "cli.json": cli,
    "schema.sql": schema,
    "stream.txt": stream,
}


if __name__ == "__main__":
    for name, snapshot in SNAPSHOTS.items():
        (FOLDER / name).write_text(snapshot())
