"""The order of waiting logins: turns of addresses, failures last but not for ever, bounded places."""

from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptomarket.addresses import address_groups
from cryptomarket.persons.fair_line import MOST_FAILURES, TURNS, FairLine

ADDRESSES = [*(f"192.0.2.{number}" for number in range(5)), "2001:db8:1::1", "2001:db8:1:2::1", "2001:db8:2::1"]


def new_line(*, most: int = 1_000, most_per_address: int = 100, most_failing: int = 200) -> FairLine:
    """A line that is never full here, unless a test says so."""
    return FairLine(most=most, most_per_address=most_per_address, most_failing=most_failing)


class Names:
    """Adds logins that are named by their address and number."""

    def __init__(self, line: FairLine) -> None:
        self.line, self.numbers, self.accepted = line, Counter[str](), count(1)

    def add(self, address: str, times: int = 1, **failures: int) -> None:
        """Add logins of the address, accepted one after the other; its groups have so many ``failed``."""
        groups = address_groups(address)
        for _ in range(times):
            self.numbers[address] += 1
            found = dict.fromkeys(groups, failures["failed"]) if failures else {}
            self.line.add(f"{address}-{self.numbers[address]}", next(self.accepted), groups, found)

    def served(self, times: int | None = None) -> list[str]:
        """The names of the next logins that are served, of all without ``times``."""
        return [self.line.pop()[0] for _ in range(len(self.line) if times is None else times)]


def test_addresses_take_turns() -> None:
    """Who comes after twenty logins of each of six addresses waits for one of each."""
    names = Names(new_line())
    for number in range(6):
        names.add(f"192.0.2.{number}", 20)
    names.add("198.51.100.1")
    assert names.line.place("198.51.100.1-1") == 7
    assert names.served(7) == [*(f"192.0.2.{number}-1" for number in range(6)), "198.51.100.1-1"]


def test_many_from_one_address_each_are_served_by_acceptance() -> None:
    """A crowd of a thousand addresses is served in the order in which it was accepted."""
    names = Names(new_line())
    for number in range(1_000):
        names.add(f"10.0.{number // 250}.{number % 250}")
    assert [login.rpartition("-")[0] for login in names.served()] == [
        f"10.0.{number // 250}.{number % 250}" for number in range(1_000)
    ]


def test_failures_put_an_address_after_the_others() -> None:
    """Logins that wait already are moved; one turn in so many is left to them, and another if it was not used."""
    names = Names(new_line())
    names.add("192.0.2.1", 3)
    for number in range(4 * TURNS):
        names.add(f"198.51.100.{number}")
    names.line.charge({"192.0.2.1": 1})
    failing = [login.startswith("192.0.2.1-") for login in names.served(2 * TURNS)]
    assert failing == 2 * [*([False] * (TURNS - 1)), True]
    names.line.refund(failing=True)
    assert names.line.place("192.0.2.1-3") == 1
    names.served(1)
    names.add("192.0.2.1", 1, failed=1)
    names.served(1)
    names.line.refund(failing=False)
    assert names.line.place("192.0.2.1-4") == TURNS


def test_one_mistake_is_no_attack() -> None:
    """An office with one failure is served between addresses with many, far before its share by number."""
    names = Names(new_line())
    for number in range(100):
        names.add(f"198.51.100.{number}", 1, failed=12)
    names.add("192.0.2.1", 10, failed=1)
    assert [login for login in names.served(6) if login.startswith("192")] == [f"192.0.2.1-{n}" for n in range(1, 7)]


def test_failures_of_a_neighbour_count_less() -> None:
    """Three failures of one /64 do not put the others of its /48 behind; thirty do."""
    for failed, first in ((3, "2001:db8:1:2::1-1"), (30, "192.0.2.1-1")):
        names = Names(new_line())
        names.add("2001:db8:1:2::1")
        names.add("192.0.2.1")
        names.line.charge({"2001:db8:1::/64": failed, "2001:db8:1::/48": failed})
        assert names.served(1) == [first]


def test_places_are_bounded() -> None:
    """By address, by /48, of all addresses with failures and in all; who has failures or comes last loses its place."""
    line = new_line(most=20, most_per_address=3, most_failing=4)
    assert [line.add(f"a{n}", n, ("a",), {}) for n in range(4)] == [[], [], [], ["a3"]]
    wide = [line.add(f"w{n}", n, (f"w{n}", "wide"), {}) for n in range(13)]
    assert wide == [*([[]] * 12), ["w12"]]
    failing = [line.add(f"f{n}", n, (f"f{n}",), {f"f{n}": 1 + n}) for n in range(5)]
    assert failing == [[], [], [], [], ["f4"]]
    assert line.add("f5", 9, ("f5",), {"f5": 1}) == ["f3"]
    assert [line.add(f"c{n}", 20 + n, (f"c{n}",), {}) for n in range(2)] == [[], ["f2"]]
    assert len(line) == 20


def test_an_address_without_a_place_is_forgotten() -> None:
    """The line remembers nothing of those who left it."""
    names = Names(new_line())
    for address in ADDRESSES:
        names.add(address, 3, failed=2)
    names.served()
    line = names.line
    assert (len(line), line._failures, line._queues, len(line._places), line._found) == (0, {}, {}, 0, {})
    with pytest.raises(IndexError):
        line.pop()


@given(st.data())
def test_the_order_holds_whatever_happens(data: st.DataObject) -> None:
    """Of any additions, failures and removals: those of one address leave by acceptance, and places come true."""
    line, waiting, accepted = new_line(), dict[str, tuple[str, int]](), iter(range(1_000_000))
    for _ in range(data.draw(st.integers(1, 40))):
        address = data.draw(st.sampled_from(ADDRESSES))
        match data.draw(st.sampled_from(["add", "add", "add late", "charge", "pop", "remove"])):
            case "charge":
                line.charge({group: data.draw(st.integers(0, 50)) for group in address_groups(address)})
            case "pop" if waiting:
                served, _ = line.pop()
                of_address = [one for one in waiting if waiting[one][0] == waiting[served][0]]
                assert served == min(of_address, key=lambda one: waiting[one][1])
                del waiting[served]
            case "remove" if waiting:
                login = data.draw(st.sampled_from(sorted(waiting)))
                line.remove(login)
                del waiting[login]
            case kind:
                number = next(accepted)
                at = -number if kind == "add late" else number
                assert line.add(f"l{number}", at, address_groups(address), {}) == []
                waiting[f"l{number}"] = address, at
    places = list(line.places())
    assert sorted(place for _, place in places) == list(range(1, len(waiting) + 1))
    assert all(line.place(login) == place for login, place in places)
    assert [line.pop()[0] for _ in places] == [login for login, _ in places]


@given(st.integers(0, 2 * MOST_FAILURES), st.integers(1, 12), st.integers(0, 3))
def test_no_address_waits_for_ever(failed: int, others: int, flow: int) -> None:
    """Whatever its failures, a login is served though others come without end, with fewer failures or with none."""
    names = Names(new_line(most=10_000, most_per_address=10_000, most_failing=10_000))
    names.add("192.0.2.1", 1, failed=failed)
    for turn in range(TURNS * (others + 1) * (min(failed, MOST_FAILURES) + 2)):
        for number in range(others):
            address = f"198.51.100.{number}"
            if names.numbers[address] <= turn:
                names.add(address, 1, failed=min(flow, number))
        if names.served(1) == ["192.0.2.1-1"]:
            return
    raise AssertionError("not served")
