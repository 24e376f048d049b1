"""What clients are counted by."""

import pytest

from cryptomarket.addresses import address_groups, with_mapped_networks


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


def test_mapped_networks() -> None:
    """Those of IPv4 are given in both forms."""
    assert with_mapped_networks(["192.0.2.0/24", "10.0.0.7", "::/0"]) == [
        "192.0.2.0/24",
        "::ffff:192.0.2.0/120",
        "10.0.0.7",
        "::ffff:10.0.0.7/128",
        "::/0",
    ]
