"""What clients are counted by."""

import pytest

from cryptomarket.addresses import address_groups


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
