"""What logins cost: each failure its own address, and what counters reveal."""

import hashlib

import pytest
import structlog.testing

from cryptomarket.errors import ExchangeUnreachable
from cryptomarket.persons.cache.memory import MemoryCache
from cryptomarket.persons.keyring import Keyring
from cryptomarket.persons.leader_requests import LoginRequest
from cryptomarket.persons.limits import COUNTED_SECONDS, LEAST_PER_MINUTE, MINUTE, MOST_LOGINS_OF_PERSON, LoginLimits
from cryptomarket.persons.login_secrets import LoginSecrets
from cryptomarket.refusals import Refusals

from .test_leader_worker import Leader
from .test_vault import Clock, new_key

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class Counters:
    """Limits over a memory cache, with a clock that the test moves."""

    def __init__(self, per_minute: int = 20) -> None:
        self.clock, key = Clock(), new_key()
        self.clock.now -= self.clock.now % COUNTED_SECONDS  # the begin of a minute and of a window
        self.cache = MemoryCache(monotonic=self.clock)
        sign = Keyring(lambda: (key,)).sign
        self.limits = LoginLimits(self.cache, sign, per_minute=per_minute, wall=self.clock)

    async def allowed(self, address: str) -> int:
        """How many logins of the address the next minute allows."""
        self.clock.now += MINUTE - self.clock.now % MINUTE
        number = 0
        while not await self.limits.count_login(address):
            number += 1
        return number


async def log_in(leader: Leader, address: str, client_id: str = "key", secret: bytes = b"secret") -> None:
    """Log in from an address."""
    login_id = await LoginSecrets(leader.cache, leader.vault).put(client_id, bytearray(secret))
    client = leader.limits.client(client_id)
    await leader.handle_login(LoginRequest(login_id, "s1", client, address, leader.clock.now))


async def failures(leader: Leader, address: str = HERE) -> int:
    """The recent failures of an address."""
    return (await leader.limits.failures([address]))[address]


async def test_a_wrong_key_is_charged_to_its_address() -> None:
    """To no other address; the delay before the next attempt is that of the key at the address."""
    leader = Leader()
    await log_in(leader, HERE, secret=b"wrong")
    assert [await failures(leader), await failures(leader, ELSEWHERE)] == [1, 0]
    client, other = leader.limits.client("key"), leader.limits.client("other")
    assert await leader.limits.delay(client, HERE) > 0
    assert await leader.limits.delay(client, ELSEWHERE) == await leader.limits.delay(other, HERE) == 0


async def test_only_a_refused_key_is_charged() -> None:
    """Neither an exchange that does not answer nor a secret that expired; a key without the right is."""
    leader = Leader()
    await leader.handle_login(LoginRequest("unknown", "s1", "client", HERE, leader.clock.now))
    leader.exchange.raising["public/auth"] = ExchangeUnreachable("away")
    await log_in(leader, HERE)
    assert await failures(leader) == 0
    leader.exchange.raising.clear()
    await log_in(leader, HERE)
    assert await failures(leader) == 0
    without_right = Leader(scope="wallet:read")
    await log_in(without_right, HERE)
    assert await failures(without_right) == 1


async def test_a_valid_key_wastes_no_requests_either() -> None:
    """Many logins of one person, from whatever addresses, are charged to the addresses of the last ones."""
    leader = Leader()
    for number in range(MOST_LOGINS_OF_PERSON):
        await log_in(leader, f"198.51.100.{number}")
    await log_in(leader, HERE)
    assert [await failures(leader), await failures(leader, "198.51.100.9")] == [1, 0]


async def test_failures_take_logins_from_their_address_down_to_a_floor() -> None:
    """Two a minute for each, as long as they count; another address keeps all of its own."""
    counters = Counters()
    assert await counters.allowed(HERE) == 20
    for _ in range(4):
        await counters.limits.charge(HERE)
    assert [await counters.allowed(HERE), await counters.allowed(ELSEWHERE)] == [12, 20]
    for _ in range(40):
        await counters.limits.charge(HERE)
    assert await counters.allowed(HERE) == LEAST_PER_MINUTE
    counters.clock.now += 2 * COUNTED_SECONDS
    assert await counters.allowed(HERE) == 20


async def test_failures_fade() -> None:
    """All count for 15 minutes at least half, and none longer than 30."""
    counters = Counters()
    for _ in range(8):
        await counters.limits.charge(HERE)
    counts = []
    for _ in range(5):
        counts.append((await counters.limits.failures([HERE]))[HERE])
        counters.clock.now += COUNTED_SECONDS / 2
    assert counts == [8, 8, 8, 4, 0]


async def test_a_48_has_four_times_the_allowance_of_a_64() -> None:
    """Who has many /64 networks of one /48 gets no more; a failure counts for both."""
    counters = Counters(per_minute=3)
    assert await counters.allowed("2001:db8:1::1") == 3
    counters.clock.now += MINUTE
    allowed = [await counters.limits.count_login(f"2001:db8:1:{number}::1") == 0 for number in range(20)]
    assert sum(allowed) == 12
    assert await counters.limits.count_login("2001:db8:2::1") == 0
    await counters.limits.charge("2001:db8:1::1")
    groups = ["2001:db8:1::/64", "2001:db8:1::/48", "2001:db8:1:1::/64"]
    assert list((await counters.limits.failures(groups)).values()) == [1, 1, 0]


async def test_a_full_minute_asks_the_cache_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logins of an attacker beyond the limit cost the cache nothing, and others are counted all the same."""
    counters = Counters(per_minute=3)
    await counters.allowed(HERE)
    calls: list[str] = []
    count = counters.cache.count

    async def counted(name: str, seconds: float) -> int:
        calls.append(name)
        return await count(name, seconds)

    monkeypatch.setattr(counters.cache, "count", counted)
    assert [await counters.limits.count_login(HERE) > 0 for _ in range(10)] == [True] * 10
    assert not calls
    assert await counters.limits.count_login(ELSEWHERE) == 0
    assert len(calls) == 1


async def test_counters_tell_no_client_id_and_no_address() -> None:
    """Their names cannot be computed from guesses: they differ under another operator key."""
    names = []
    for _ in range(2):
        leader = Leader()
        await leader.limits.count_login(HERE)
        await log_in(leader, HERE, "guessable", b"wrong")
        await log_in(leader, HERE)
        names.append({name async for name in leader.cache.names("deribit:limit:")})
    one, two = names
    assert len(one) == len(two) == 5
    guesses = [
        text for guess in ("guessable", HERE) for text in (guess, hashlib.sha256(guess.encode()).hexdigest()[:9])
    ]
    assert not [name for name in one for guess in guesses if guess in name]
    assert {name.split(":")[2] for name in one}.isdisjoint(name.split(":")[2] for name in two)


async def test_a_failed_login_is_one_line_with_who_and_where() -> None:
    """The address, and what stands for the client id; never the client id."""
    leader = Leader()
    with structlog.testing.capture_logs() as lines:
        await log_in(leader, HERE, "somebodys-key", b"wrong")
    (line,) = lines
    assert (line["event"], line["address"], line["client"]) == (
        "login failed",
        HERE,
        leader.limits.client("somebodys-key"),
    )
    assert "somebodys-key" not in str(lines)


async def test_logins_that_were_not_tried_do_not_fill_the_log() -> None:
    """They are refusals: all counted, few logged."""
    leader, refusals = Leader(), Refusals()
    leader.login_flow._refused = refusals.refused
    with structlog.testing.capture_logs() as lines:
        for number in range(500):
            await leader.login_flow.refuse(LoginRequest(f"l{number}", "s", "c", f"10.0.0.{number % 250}", 0.0), "why")
    assert refusals.counts() == {"login_not_served": 500}
    assert 0 < len(lines) < 50
    assert {line["client"] for line in lines} == {"c"}
