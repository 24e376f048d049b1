"""Several nodes with one leader: what browsers receive from each, also when the leader ends."""

import signal
from pathlib import Path

import anyio
import httpx2
import pytest
from cryptography.fernet import Fernet

from tests.persons.site import ADA, connection_event

from .nodes import Cluster, Node, running_cluster, tick, tick_of


def others(cluster: Cluster, node: Node) -> list[Node]:
    """Return the other nodes."""
    return [one for one in cluster.nodes if one is not node]


def sqlite(folder: Path) -> str:
    """Return the URL of an SQLite file in the folder, for tests that do not depend on the database."""
    return f"sqlite+aiosqlite:///{folder / 'shared.db'}"


@pytest.mark.system
async def test_every_node_sends_the_same_ticks(tmp_path: Path) -> None:
    """All nodes send equal ids and prices, and only one is connected to the exchange."""
    async with running_cluster(tmp_path, sqlite(tmp_path), 3) as cluster:
        seen: list[dict[tuple[int, int], object]] = []

        async def listen(node: Node) -> None:
            async with node.stream("timer=0&channels=btc_usd") as stream:
                found = {}
                for _ in range(15):
                    place, data = await tick(stream)
                    found[place] = data
                seen.append(found)

        async with anyio.create_task_group() as tasks:
            for node in cluster.nodes:
                tasks.start_soon(listen, node)
        common = set(seen[0]) & set(seen[1]) & set(seen[2])
        assert len(common) >= 5
        assert all(seen[0][place] == seen[1][place] == seen[2][place] for place in common)
        statuses = [(await node.status())["statistics"] for node in cluster.nodes]
        assert sum("upstream" in one for one in statuses) == 1
        assert statuses[0]["cluster"]["nodes"] == ["n0", "n1", "n2"]


@pytest.mark.system
async def test_another_leads_when_the_leader_is_killed(tmp_path: Path, database_url: str) -> None:
    """After kill -9 the streams of the other node continue with a higher epoch."""
    async with running_cluster(tmp_path, database_url) as cluster:
        for _ in range(2):
            leader = await cluster.leader()
            (follower,) = others(cluster, leader)
            async with follower.stream() as stream:
                (epoch, _), _ = await tick(stream)
                leader.kill()
                place = await tick_of(stream, epoch + 1)
                assert place[0] > epoch
            assert (await follower.status())["upstream"]["state"] == "live"
            cluster.nodes.remove(leader)
            assert await follower.leads()
            await cluster.start(f"{leader.name}x")


@pytest.mark.system
async def test_a_leader_that_stops_hands_over(tmp_path: Path) -> None:
    """After SIGTERM the other node takes over, and the leader exits with 0."""
    async with running_cluster(tmp_path, sqlite(tmp_path)) as cluster:
        leader = await cluster.leader()
        (follower,) = others(cluster, leader)
        async with follower.stream() as stream:
            (epoch, _), _ = await tick(stream)
            assert await leader.program.stop(seconds=30) == 0, leader.program.log
            await tick_of(stream, epoch + 1)


@pytest.mark.system
async def test_a_paused_leader_publishes_nothing_more(tmp_path: Path) -> None:
    """After SIGSTOP, a takeover and SIGCONT no tick of the old epoch arrives, and the old leader follows."""
    async with running_cluster(tmp_path, sqlite(tmp_path)) as cluster:
        leader = await cluster.leader()
        (follower,) = others(cluster, leader)
        async with follower.stream() as stream:
            (epoch, _), _ = await tick(stream)
            leader.signal(signal.SIGSTOP)
            try:
                newer, _ = await tick_of(stream, epoch + 1)
            finally:
                leader.signal(signal.SIGCONT)
            for _ in range(10):
                assert (await tick(stream))[0][0] >= newer
            async with leader.stream("timer=0&channels=btc_usd") as continued:
                await tick_of(continued, newer)
                for _ in range(10):
                    assert (await tick(continued))[0][0] >= newer
            assert not await leader.leads()


async def test_the_leader_subscribes_to_tickers_of_a_follower_s_streams(tmp_path: Path) -> None:
    """A ticker that only a stream of a follower requests arrives there."""
    async with running_cluster(tmp_path, sqlite(tmp_path)) as cluster:
        leader = await cluster.leader()
        (follower,) = others(cluster, leader)
        async with follower.stream("timer=0&channels=sol_usd") as stream:
            assert (await tick(stream, "sol_usd"))[1]["ticker"] == "sol_usd"


@pytest.mark.system
async def test_a_person_is_the_same_on_every_node(tmp_path: Path) -> None:
    """A login at a follower and a logout at the leader reach every node and every stream of the browser."""
    async with running_cluster(tmp_path, sqlite(tmp_path), accounts=(ADA,)) as cluster:
        leader = await cluster.leader()
        (follower,) = others(cluster, leader)
        async with httpx2.AsyncClient(timeout=30) as client:
            await client.get(f"{follower.url}/")
            body = {"client_id": ADA.client_id, "client_secret": ADA.client_secret}
            answer = await client.post(f"{follower.url}/api/v1/persons/login", json=body)
            assert answer.status_code == 202
            cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
            headers = {"cookie": cookie}
            async with follower.stream(cookie=cookie) as far, leader.stream(cookie=cookie) as near:
                persons = [await connection_event(stream, "person") for stream in (far, near)]
                assert {one["username"] for one in persons} == {"ada"}
                for node in cluster.nodes:
                    me = await client.get(f"{node.url}/api/v1/persons/me/account", headers=headers)
                    assert me.json()["person_id"] == persons[0]["person_id"]
                assert (await client.delete(f"{leader.url}/api/v1/persons/me", headers=headers)).status_code == 204
                for stream in (far, near):
                    await connection_event(stream, "logged_out")
                assert (await client.get(f"{follower.url}/api/v1/persons/me", headers=headers)).status_code == 401
        logs = "".join(node.program.log for node in cluster.nodes)
        assert ADA.client_secret not in logs


@pytest.mark.system
async def test_a_node_with_another_key_is_told_apart(tmp_path: Path) -> None:
    """Both gateways go on: each refuses the other, /readyz says what to do, and nothing crashes."""
    async with running_cluster(tmp_path, sqlite(tmp_path), 1) as cluster:
        (leader,) = cluster.nodes
        cluster.settings["secret_key"] = Fernet.generate_key().decode()
        other = await cluster.start("n1")
        hint = "messages of other nodes do not verify: give every node the same CRYPTOMARKET_SECRET_KEY or key file"
        with anyio.fail_after(60):
            for node in (leader, other):
                while (await node.ready())["checks"]["keys"]["detail"] != hint:
                    await anyio.sleep(0.2)
            while (await other.ready())["checks"]["upstream"]["ok"]:
                await anyio.sleep(0.2)
        async with leader.stream() as stream:
            await tick(stream)
        assert (await leader.ready())["status"] == "degraded"
        for node in (leader, other):
            refused = (await node.status())["statistics"]["cluster"]["refused_by_reason"]
            assert set(refused) == {"signature"}
            lines = node.program.log.splitlines()
            assert sum("message of another node refused" in line for line in lines) in (1, 2)
            assert "Traceback" not in node.program.log
