"""What clients are counted by."""

import pytest

from cryptomarket.addresses import MULTIPLES, WIDER, AddressCounts, address_groups, with_mapped_networks


@pytest.mark.parametrize(
    ("host", "groups"),
    [
        ("192.0.2.7", ("192.0.2.7",)),
        ("::ffff:192.0.2.7", ("192.0.2.7",)),
        ("2001:db8:1:2:3:4:5:6", ("2001:db8:1:2::/64", "2001:db8:1::/48")),
        ("fe80::1%eth0", ("fe80::/64", "fe80::/48")),
        ("testclient", ("testclient",)),
        ("x" * 100, ("x" * 64,)),
    ],
)
def test_groups(host: str, groups: tuple[str, ...]) -> None:
    """IPv4 alone; IPv6 by /64 and /48, without its zone; anything else as it is, cut."""
    assert address_groups(host) == groups
    assert len(groups) <= len(MULTIPLES), "each group has a limit"


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::1", ""])
def test_an_address_is_full_at_its_limit(host: str) -> None:
    """The narrowest group with as many as it may have is found, even one of an empty name; others have room."""
    counts, groups = AddressCounts(), address_groups(host)
    for _ in range(2):
        assert counts.full(groups, 2) is None
        counts.add(groups)
    assert counts.full(groups, 2) == groups[0]
    assert counts.full(address_groups("192.0.2.8"), 2) is None


def test_a_wider_group_may_have_a_multiple() -> None:
    """Networks of one /48 share its limit, which is `WIDER` times that of each."""
    counts = AddressCounts()
    for number in range(WIDER):
        assert counts.full(address_groups(f"2001:db8:0:{number}::1"), 1) is None
        counts.add(address_groups(f"2001:db8:0:{number}::1"))
    assert counts.full(address_groups("2001:db8:0:ff::1"), 1) == "2001:db8::/48"
    counts.remove(address_groups("2001:db8:0:1::1"))
    assert counts.full(address_groups("2001:db8:0:ff::1"), 1) is None


def test_a_group_without_any_is_forgotten() -> None:
    """As many removals as additions leave nothing."""
    counts, groups = AddressCounts(), address_groups("2001:db8::1")
    counts.add(groups)
    counts.add(groups)
    counts.remove(groups)
    assert {group: counts[group] for group in counts} == dict.fromkeys(groups, 1)
    counts.remove(groups)
    assert (len(counts), counts["192.0.2.7"]) == (0, 0)


def test_mapped_networks() -> None:
    """Those of IPv4 are given in both forms."""
    assert with_mapped_networks(["192.0.2.0/24", "10.0.0.7", "::/0"]) == [
        "192.0.2.0/24",
        "::ffff:192.0.2.0/120",
        "10.0.0.7",
        "::ffff:10.0.0.7/128",
        "::/0",
    ]
