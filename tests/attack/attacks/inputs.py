"""Inputs whose reading costs more than their size: long texts, adversarial patterns, many names."""

import string

from ..attacker import Attack, Attacker, request

__all__ = ["INPUTS"]

#: Just under the limit of a request head.
LONG = 31_000
#: Routes and parameters that take free text.
TEXTS = (
    "/api/v1/prices?ticker=btc_usd&start=",
    "/api/v1/prices?ticker=btc_usd&end=",
    "/api/v1/prices?ticker=btc_usd&cursor=",
    "/api/v1/prices?ticker=btc_usd&limit=",
    "/api/v1/prices?ticker=",
    "/api/v1/prices/filter?ticker=btc_usd&start_date=",
    "/api/v1/candles?ticker=btc_usd&resolution=",
    "/api/v1/candles?ticker=btc_usd&start=",
    "/api/v1/coverage?ticker=btc_usd&start=",
    "/api/v1/export.csv?ticker=btc_usd&start=",
    "/api/v1/export.ndjson?ticker=btc_usd&end=",
    "/api/v1/tickers?search=",
    "/api/v1/instruments?cursor=",
    "/api/v1/instruments?index=",
    "/udf/history?symbol=btc_usd&resolution=1&to=1763647200&from=",
    "/udf/history?symbol=",
    "/udf/search?query=",
    "/udf/symbols?symbol=",
    "/sse/?timer=",
    "/sse/?channels=",
    "/sse/?lastEventId=",
    "/?lang=",
    "/history?start=",
    "/",
    "/static/",
)
#: What a parser may read again and again: one character many times, or a pair.
NASTY = ("T", "9", "0", ",", "-", "+", "%20", "%00", "%FF", "=", ".", "T+", "1.", "a,", "%C3%A9", ";", "(", "%25")
#: Headers that we or a library read.
HEADERS = (
    "Accept-Language",
    "Cookie",
    "Authorization",
    "Origin",
    "If-None-Match",
    "If-Modified-Since",
    "Range",
    "Accept-Encoding",
    "Last-Event-ID",
    "Content-Type",
    "Sec-Fetch-Site",
    "X-Forwarded-For",
    "Forwarded",
)
PAGES = ("/", "/sse/", "/api/v1/prices/latest?ticker=btc_usd", "/api/v1/persons/me", "/status", "/static/site.css")


class BacktrackingTime(Attack):
    """32 KB of T as a time: a pattern tried each of them as a beginning and took 5.6 s of CPU."""

    per_second = 4

    async def attempt(self, attacker: Attacker) -> str:
        path, name = attacker.dice.choice(
            (("prices", "start"), ("coverage", "start"), ("export.csv", "end"), ("candles", "start"))
        )
        return await attacker.get(f"/api/v1/{path}?ticker=btc_usd&{name}={'T' * LONG}")


class BacktrackingLanguage(Attack):
    """Accept-Language with 32 KB of spaces: a pattern divided them between two repetitions and took 6.5 s of CPU."""

    per_second = 4

    async def attempt(self, attacker: Attacker) -> str:
        return await attacker.get("/", f"Accept-Language: en{' ' * LONG}x")


class BackslashCookie(Attack):
    r"""A cookie of 32 KB of `\"`: the standard library unquotes it in quadratic time, 3.6 s of CPU (CVE-2024-7592)."""

    per_second = 4

    async def attempt(self, attacker: Attacker) -> str:
        quoted = '\\"' * (LONG // 2)
        return await attacker.get(attacker.dice.choice(("/", "/sse/", "/history")), f'Cookie: x="{quoted}"')


class LongValues(Attack):
    """Every parameter with 32 KB of one nasty character: each must be refused by its length before it is parsed."""

    per_second = 8

    async def attempt(self, attacker: Attacker) -> str:
        kind = attacker.dice.choice(NASTY)
        return await attacker.get(attacker.dice.choice(TEXTS) + kind * (LONG // len(kind)))


class LongHeaders(Attack):
    """Every header that something reads with 32 KB of one nasty character."""

    per_second = 8

    async def attempt(self, attacker: Attacker) -> str:
        kind = attacker.dice.choice((" ", "\t", ",", ";", "=", "a,", 'W/"', "a=b;", '"', "\\", "*,", "0-,", "q=1,"))
        value = f"bytes={kind * (LONG // len(kind))}"
        return await attacker.get(attacker.dice.choice(PAGES), f"{attacker.dice.choice(HEADERS)}: x{value}x")


class ManyNames(Attack):
    """Thousands of parameters in one query, some with names that differ little from known ones."""

    per_second = 4

    async def attempt(self, attacker: Attacker) -> str:
        names = (f"tick{attacker.dice.choice(string.ascii_letters)}{n}=1" for n in range(3_000))
        path = attacker.dice.choice(("/api/v1/prices", "/sse/", "/udf/history", "/", "/api/v1/export.csv"))
        return await attacker.get(f"{path}?{'&'.join(names)}")


class ManyHeaders(Attack):
    """Two thousand headers in one head: each becomes a pair of objects and is compared by whoever looks for one."""

    per_second = 4

    async def attempt(self, attacker: Attacker) -> str:
        headers = [f"x{n}: {n}" for n in range(2_000)]
        return await attacker.get(attacker.dice.choice(PAGES), *headers)


class NearestNames(Attack):
    """Nonsense tickers: the search for the nearest of all names cost 0.14 s for each request."""

    per_second = 8

    async def attempt(self, attacker: Attacker) -> str:
        name = "".join(attacker.dice.choices("BTCEHUSD-_0123456789PCabcdefgh", k=attacker.dice.choice((6, 20, 63))))
        if attacker.dice.random() < 0.5:
            return await attacker.get(f"/api/v1/prices/latest?ticker={name}")
        names = ",".join(f"{name}{n}" for n in range(20))
        return await attacker.get(f"/sse/?channels={names}")


class DeepCursors(Attack):
    """Cursors and ranges at the ends of time, which make a database look through everything or through nothing."""

    per_second = 6

    async def attempt(self, attacker: Attacker) -> str:
        return await attacker.get(
            attacker.dice.choice(
                (
                    "/api/v1/prices?ticker=btc_usd&limit=10000&order=desc&cursor=desc-1",
                    "/api/v1/prices?ticker=btc_usd&limit=10000&cursor=asc-999999999999",
                    "/api/v1/candles?ticker=btc_usd&resolution=1d&limit=10000&start=0&end=9999-12-31",
                    "/api/v1/coverage?ticker=btc_usd&start=0&end=9999-12-31",
                    "/udf/history?symbol=btc_usd&resolution=1&from=0&to=253402300799",
                    "/api/v1/prices/filter?ticker=btc_usd&start_date=0001-01-01&end_date=9999-12-31",
                )
            )
        )


class WholeHeads(Attack):
    """Heads of exactly the permitted size in pieces of one kilobyte: each piece is parsed and counted."""

    per_second = 4

    async def attempt(self, attacker: Attacker) -> str:
        raw = request("/", "Connection: close", f"X: {'x' * LONG}")
        return await attacker.ask(*(raw[n : n + 1_024] for n in range(0, len(raw), 1_024)))


INPUTS = (
    BacktrackingTime,
    BacktrackingLanguage,
    BackslashCookie,
    LongValues,
    LongHeaders,
    ManyNames,
    ManyHeaders,
    NearestNames,
    DeepCursors,
    WholeHeads,
)
