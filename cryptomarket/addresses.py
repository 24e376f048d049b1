"""What clients are counted by: their IP address, or the networks it is part of. Pure."""

import functools
import ipaddress
from collections.abc import Iterable, Iterator, Sequence

__all__ = ["MULTIPLES", "WIDER", "AddressCounts", "address_groups", "with_mapped_networks"]

#: One household or server has at least the /64 network of an IPv6 address, and often all /64 networks of a /48.
IPV6_PREFIXES = (64, 48)
#: A wider group of addresses may have so many times what the narrowest may; the factors in the order of the groups.
WIDER = 4
MULTIPLES = (1, WIDER)
#: Longer text is no address, and is not remembered.
MOST_CHARACTERS = 64


def address_groups(host: str) -> tuple[str, ...]:
    """What a client is counted by, the narrowest first.

    An IPv4 address is one group. An IPv6 address is two: its /64 and its /48 network, because who has one /64 often has
    65,536 of them. A limit of the wider group is a multiple of that of the narrower one. Text that is no address, as a
    server on a UNIX socket may report, is a group of its own.
    """
    return _groups(host[:MOST_CHARACTERS])


@functools.lru_cache(maxsize=4096)
def _groups(host: str) -> tuple[str, ...]:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return (host,)
    if address.version == 4:
        return (host,)
    if address.ipv4_mapped is not None:
        return (str(address.ipv4_mapped),)
    address = ipaddress.IPv6Address(address.packed)  # without a zone, of which there may be many
    return tuple(str(ipaddress.ip_network((address, prefix), strict=False)) for prefix in IPV6_PREFIXES)


class AddressCounts:
    """How many of something each group of addresses has; a group that has none is forgotten."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __getitem__(self, group: str) -> int:
        return self._counts.get(group, 0)

    def full(self, groups: Sequence[str], most: int) -> str | None:
        """The narrowest of the groups that has as many as it may, when one address may have ``most``."""
        for group, multiple in zip(groups, MULTIPLES, strict=False):
            if self[group] >= most * multiple:
                return group
        return None

    def add(self, groups: Sequence[str]) -> None:
        """Count one more for each of the groups."""
        for group in groups:
            self._counts[group] = self[group] + 1

    def remove(self, groups: Sequence[str]) -> None:
        """Count one less for each of the groups."""
        for group in groups:
            self._counts[group] -= 1
            if not self._counts[group]:
                del self._counts[group]


def with_mapped_networks(networks: Iterable[str]) -> list[str]:
    """The networks, and after each of IPv4 the IPv6 network of the same addresses, such as `::ffff:192.0.2.0/120`.

    A socket that listens on `::` reports the addresses of IPv4 clients so (RFC 4291, section 2.5.5.2).
    """
    found = []
    for text in networks:
        found.append(text)
        network = ipaddress.ip_network(text)
        if network.version == 4:
            found.append(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
    return found
