"""Logging in as a browser does it: over HTTP, with the outcome on the stream."""

from pathlib import Path

import anyio

from .site import ADA, BOB, running_persons, told


async def test_a_log_in_ends_on_the_stream(tmp_path: Path) -> None:
    """202 with a name, then who has come, with a token that opens the person's own routes and nothing else."""
    async with running_persons(tmp_path) as site:
        browser = await site.browser()
        assert (await browser.me()).status_code == 401
        async with browser.stream() as tab:
            answer = await browser.log_in(ADA)
            assert answer.status_code == 202
            assert set(answer.json()) == {"login"}
            person = await told(tab, "person", "login_failed")
        assert (person["kind"], person["username"], person["email"]) == ("person", "ada", "ada@example.com")
        assert ADA.client_secret not in str(person)
        me = (await browser.me()).json()
        assert me == {name: person[name] for name in ("person_id", "username", "email", "scope", "expires_at")}
        stranger = await site.browser()
        assert (await stranger.me()).status_code == 401
        assert (await stranger.me(authorization=f"Bearer {person['token']}")).json() == me
        account = (await browser.client.get("/api/v1/persons/me/account")).json()
        assert {"currency": "BTC", "equity": 10.0, "balance": 10.0, "available_funds": 10.0} in account["accounts"]


async def test_a_wrong_secret_and_an_unknown_key_read_alike(tmp_path: Path) -> None:
    """The sentence says what to do, and not which of the two was wrong."""
    async with running_persons(tmp_path) as site:
        reasons = []
        for account, secret in ((ADA, "wrong"), (BOB, "also-wrong")):
            browser = await site.browser()
            async with browser.stream() as tab:
                assert (await browser.log_in(account, secret)).status_code == 202
                reasons.append((await told(tab, "person", "login_failed"))["reason"])
            assert (await browser.me()).status_code == 401
        assert len(set(reasons)) == 1
        assert "check the client id and the secret" in reasons[0]


async def test_every_tab_is_told_and_a_new_one_finds_the_person(tmp_path: Path) -> None:
    """All streams of the browser session get the person; one that opens later gets it as its snapshot."""
    async with running_persons(tmp_path) as site:
        browser = await site.browser()
        async with browser.stream() as one, browser.stream() as two:
            await browser.log_in(ADA)
            assert (await told(one, "person"))["username"] == (await told(two, "person"))["username"] == "ada"
            async with browser.stream() as three:
                assert (await told(three, "person"))["username"] == "ada"


async def test_an_outcome_waits_for_a_stream(tmp_path: Path) -> None:
    """Who logs in before opening a stream finds a failure on the first one that opens."""
    async with running_persons(tmp_path) as site:
        browser = await site.browser()
        await browser.log_in(ADA, "wrong")
        with anyio.fail_after(60):
            while site.gateway.statistics()["persons"]["failed"] == 0:  # type: ignore[index]
                await anyio.sleep(0.02)
        async with browser.stream() as tab:
            assert "check the client id" in (await told(tab, "login_failed"))["reason"]


async def test_logging_out_ends_everything_at_once(tmp_path: Path) -> None:
    """Every browser of the person is told, no cookie or token opens anything, and nothing is kept."""
    async with running_persons(tmp_path) as site:
        home, work = await site.browser(), await site.browser()
        async with home.stream() as one, work.stream() as two:
            await home.log_in(ADA)
            token = (await told(one, "person"))["token"]
            await work.log_in(ADA)
            await told(two, "person")
            assert (await work.client.delete("/api/v1/persons/me")).status_code == 204
            assert (await told(one, "logged_out"))["reason"] == (await told(two, "logged_out"))["reason"]
        assert [(await one.me()).status_code for one in (home, work)] == [401, 401]
        assert (await home.me(authorization=f"Bearer {token}")).status_code == 401
        kept = [name async for name in site.gateway.office.cache.names("deribit:")]
        assert not [name for name in kept if ":person:" in name or ":session:" in name]


async def test_two_persons_never_see_each_other(tmp_path: Path) -> None:
    """Each browser gets its own person's events alone, also when one of them logs out."""
    async with running_persons(tmp_path) as site:
        first, second = await site.browser(), await site.browser()
        async with first.stream() as one, second.stream() as two:
            await first.log_in(ADA)
            await second.log_in(BOB)
            assert (await told(one, "person"))["username"] == "ada"
            assert (await told(two, "person"))["username"] == "bob"
            await first.client.delete("/api/v1/persons/me")
            await told(one, "logged_out")
            assert (await second.me()).json()["username"] == "bob"


async def test_somebody_else_in_the_same_browser_takes_its_place(tmp_path: Path) -> None:
    """The second log-in of a browser session ends the first person there, and only there."""
    async with running_persons(tmp_path) as site:
        home, work = await site.browser(), await site.browser()
        async with home.stream() as one, work.stream() as two:
            await home.log_in(ADA)
            await told(one, "person")
            await work.log_in(ADA)
            await told(two, "person")
            await home.log_in(BOB)
            assert (await told(one, "person"))["username"] == "bob"
            assert (await work.me()).json()["username"] == "ada"
            await work.client.delete("/api/v1/persons/me")
            await told(two, "logged_out")
            assert (await home.me()).json()["username"] == "bob"
