"""TLS to Redis: a real server with a certificate of an authority that the test made."""

import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from cryptomarket.app.health import Doctor
from cryptomarket.cluster.redis.client import redis_client
from cryptomarket.cluster.redis.tls import check_tls
from cryptomarket.deribit.doors import DOORS
from cryptomarket.errors import StartError

from .certificates import Authority
from .processes import environment, free_port, run_program, running_command, running_program
from .redis_server import running_redis

pytestmark = pytest.mark.system


@contextlib.asynccontextmanager
async def tls_redis(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Run a Redis whose certificate for 127.0.0.1 an authority signed; yields its URLs by what is right or wrong."""
    right, wrong = Authority(folder, "right"), Authority(folder, "wrong")
    signed, port = right.sign("server", "127.0.0.1"), free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(signed.certificate), "--tls-key-file", str(signed.key)]
    options += ["--tls-ca-cert-file", str(right.certificate), "--tls-auth-clients", "no"]
    async with running_redis(folder, *options) as server:
        yield {
            "right": f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={right.certificate}",
            "wrong authority": f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={wrong.certificate}",
            "no authority": f"rediss://127.0.0.1:{port}/0",
            "other host": f"rediss://localhost:{port}/0?ssl_ca_certs={right.certificate}",
            "no file": f"rediss://127.0.0.1:{port}/0?ssl_ca_certs=/nonexistent",
            "misspelt": f"rediss://127.0.0.1:{port}/0?ssl_ca_cert={right.certificate}",
            "port without TLS": f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={right.certificate}",
        }


REFUSED = {
    "wrong authority": "ssl_ca_certs=FILE in CRYPTOMARKET_REDIS_URL",
    "no authority": "ssl_ca_certs=FILE in CRYPTOMARKET_REDIS_URL",
    "other host": "Hostname mismatch",
    "no file": "No such file",
    "misspelt": "a parameter that does not exist",
}


async def test_certificates_are_checked(tmp_path: Path) -> None:
    """Only the right authority and the right host are accepted; the start says what to change."""
    async with tls_redis(tmp_path) as urls:
        for name, url in urls.items():
            async with redis_client(url) as redis:
                if name in REFUSED:
                    with pytest.raises(StartError, match=REFUSED[name]):
                        await check_tls(redis)
                else:
                    await check_tls(redis)


#: Prints whether Celery's connection to the broker answers.
CELERY = """
from cryptomarket.tasks.celery import app
app.conf.broker_transport_options.update(max_retries=1, interval_start=0, interval_step=0)
with app.connection_for_write() as connection:
    print(connection.default_channel.client.ping())
"""


@pytest.mark.parametrize(("name", "said"), [("right", ""), ("other host", "mismatch")])
async def test_celery_checks_certificates_too(tmp_path: Path, name: str, said: str) -> None:
    """Its own client takes the same parameters of the address."""
    async with tls_redis(tmp_path) as urls:
        variables = environment(tmp_path, redis_url=urls[name])
        async with running_command(tmp_path, [sys.executable, "-c", CELERY], variables) as program:
            with anyio.fail_after(60):
                code = await program.process.wait()
        assert (code == 0, program.out.strip()) == ((True, "True") if name == "right" else (False, ""))
        assert said in program.log


async def test_a_gateway_uses_tls(tmp_path: Path) -> None:
    """With the right authority it is ready for Redis; with another one it does not start, and says what to change."""
    async with tls_redis(tmp_path) as urls:
        async with running_program(tmp_path, "serve", redis_url=urls["right"], tickers="") as program:
            await program.url()
            async with redis_client(urls["right"]) as redis:
                with anyio.fail_after(60):
                    while not await redis.keys("cryptomarket:*"):
                        await anyio.sleep(0.05)
            assert await program.stop() == 0
        code, _, log = await run_program(tmp_path, "serve", redis_url=urls["wrong authority"], tickers="")
        assert code == 1
        assert "cryptomarket: Redis cannot be used: its certificate is refused" in log
        assert "Traceback" not in log


async def test_a_port_without_tls_is_not_used(tmp_path: Path) -> None:
    """A gateway that is told to use TLS sends nothing to a port without it; Redis counts as away."""
    async with tls_redis(tmp_path) as urls, redis_client(urls["port without TLS"]) as redis:
        with pytest.raises(Exception, match=r"(?i)timeout"):
            await redis.ping()


async def test_the_doctor_names_what_is_wrong(tmp_path: Path) -> None:
    """In the words of the start."""
    async with tls_redis(tmp_path) as urls:
        doctor = Doctor(
            address=("127.0.0.1", 0),
            tickers=(),
            database_url=f"sqlite+aiosqlite:///{tmp_path}/x.db",
            key_file=None,
            door=replace(DOORS["deribit"], prices_url="ws://127.0.0.1:1", http_url="http://127.0.0.1:1"),
            redis_url=urls["other host"],
        )
        check = (await doctor.examine())["redis"]
        assert not check.ok
        assert "Hostname mismatch" in check.detail
