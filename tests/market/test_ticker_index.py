"""The index of names: search, and near names for each slip of the finger, in bounded time among 6,000 names."""

import itertools
import random
import time
from difflib import SequenceMatcher

import pytest

from cryptomarket.market.ticker_index import TickerIndex


def names_like_the_exchange() -> list[str]:
    """Some 6,000 names: indices, perpetuals, futures, combos, and mostly options that differ in a digit."""
    names = ["btc_usd", "eth_usd", "sol_usdc", "paxg_usdc", "BTC-PERPETUAL", "ETH-PERPETUAL", "PAXG_USDC"]
    days = [
        "21NOV26",
        "22NOV26",
        "23NOV26",
        "27NOV26",
        "4DEC26",
        "25DEC26",
        "29JAN27",
        "26MAR27",
        "25JUN27",
        "24SEP27",
        "31DEC27",
    ]
    bases = {
        "BTC": (20_000, 200_000, 2_500),
        "ETH": (800, 9_000, 120),
        "SOL_USDC": (20, 500, 7),
        "XRP_USDC": (1, 53, 1),
    }
    for base, strikes in bases.items():
        names += [f"{base}-FS-{day}_PERP" for day in days] + [f"{base}-{day}" for day in days]
        names += [
            f"{base}-{day}-{strike}-{side}" for day, strike, side in itertools.product(days, range(*strikes), "CP")
        ]
    return names


NAMES = names_like_the_exchange()


@pytest.fixture(scope="module")
def index() -> TickerIndex:
    return TickerIndex(NAMES)


def _slip(name: str, chance: random.Random) -> str:
    """The name with one letter left out, added, replaced or exchanged with the next, or in the other case."""
    at, letter = chance.randrange(len(name)), chance.choice("abcxyz0123456789-_")
    before, after = name[:at], name[at + 1 :]
    return chance.choice(
        [
            before + after,
            before + letter + name[at:],
            before + letter + after,
            before + after[:1] + name[at] + after[1:],
            name.lower().replace("-", "_"),
        ]
    )


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


def test_a_misspelt_name_finds_its_own_or_one_that_is_as_near(index: TickerIndex) -> None:
    chance = random.Random(14)
    found = 0
    for name in chance.choices(NAMES, k=300):
        misspelt = _slip(name, chance)
        near = index.nearest(misspelt)
        assert 0 < len(near) <= 3, (name, misspelt)
        assert name in near or _ratio(near[0], misspelt) >= _ratio(name, misspelt), (name, misspelt, near)
        found += name in near
    assert found > 250


@pytest.mark.parametrize(
    "text",
    [
        "BTC-25DEC26-99999-X",  # thousands of names resemble these two
        "SOL_USDC-25DEC26-1-",
        *("-" * 500, "0" * 64, "BTC-25DEC26-" * 5, "?" * 500, "", "\U0001f600"),
        "abcdefghijklmnopqrstuvwxyz0123456789-_" * 2,
    ],
)
def test_any_name_costs_a_few_milliseconds(index: TickerIndex, text: str) -> None:
    assert len(NAMES) > 5_576
    index.nearest(text)
    before = time.thread_time()
    for _ in range(5):
        index.nearest(text)
    assert (time.thread_time() - before) / 5 < 0.03  # 1 to 2 ms on a quiet machine; comparing with all takes 140 ms


def test_names_come_and_go() -> None:
    index = TickerIndex(["b_usd", "a_usd"])
    index.add("aa_usd")
    index.add("aa_usd")
    index.discard("b_usd")
    index.discard("b_usd")
    assert (list(index), len(index)) == (["a_usd", "aa_usd"], 2)
    assert "aa_usd" in index
    assert "b_usd" not in index
    assert index.nearest("A_USD")[0] == "a_usd"


def test_a_search_finds_parts_of_names_in_any_case(index: TickerIndex) -> None:
    assert list(index.containing("PERPET")) == list(index.containing("perpet")) == ["BTC-PERPETUAL", "ETH-PERPETUAL"]
    assert list(index.containing("")) == sorted(NAMES)
    assert list(index.containing("nothing")) == []


def test_equal_names_in_another_case_are_all_found() -> None:
    assert sorted(TickerIndex(["PAXG_USDC", "paxg_usdc"]).nearest("PAXG-USDC")) == ["PAXG_USDC", "paxg_usdc"]
