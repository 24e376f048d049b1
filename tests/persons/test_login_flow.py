"""Logins as a browser makes them: over HTTP, with the outcome on the stream."""

from pathlib import Path

import anyio

from cryptomarket.persons.login_flow import NO_ANSWER

from .site import ADA, BOB, connection_event, running_persons


async def test_the_outcome_of_a_login_is_sent_to_the_stream(tmp_path: Path) -> None:
    """The response is 202 with a login id; the stream then has the person and a token for its routes."""
    async with running_persons(tmp_path) as site:
        browser = await site.browser()
        assert (await browser.me()).status_code == 401
        async with browser.stream() as tab:
            response = await browser.log_in(ADA)
            assert response.status_code == 202
            assert set(response.json()) == {"login"}
            person = await connection_event(tab, "person", "login_failed")
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
    """The reason says what to do, and not which of the two was wrong."""
    async with running_persons(tmp_path) as site:
        reasons = []
        for account, secret in ((ADA, "wrong"), (BOB, "also-wrong")):
            browser = await site.browser()
            async with browser.stream() as tab:
                assert (await browser.log_in(account, secret)).status_code == 202
                reasons.append((await connection_event(tab, "person", "login_failed"))["reason"])
            assert (await browser.me()).status_code == 401
        assert len(set(reasons)) == 1
        assert "check the client id and the secret" in reasons[0]


async def test_tokens_that_end_during_a_login_do_not_mean_a_wrong_key(tmp_path: Path) -> None:
    """When the exchange restarts between grant and first use, the person reads "try again"."""
    async with running_persons(tmp_path) as site:
        browser = await site.browser()
        site.exchange.inject("error", "private/get_account_summary:13009")
        async with browser.stream() as tab:
            assert (await browser.log_in(ADA)).status_code == 202
            assert (await connection_event(tab, "person", "login_failed"))["reason"] == NO_ANSWER
            site.exchange.inject("error", "private/get_account_summary:0")
            assert (await browser.log_in(ADA)).status_code == 202
            assert (await connection_event(tab, "person", "login_failed"))["kind"] == "person"


async def test_every_stream_of_a_browser_receives_the_person(tmp_path: Path) -> None:
    """All open streams receive the person, and one that opens later receives it first."""
    async with running_persons(tmp_path) as site:
        browser = await site.browser()
        async with browser.stream() as one, browser.stream() as two:
            await browser.log_in(ADA)
            for stream in (one, two):
                assert (await connection_event(stream, "person"))["username"] == "ada"
            async with browser.stream() as three:
                assert (await connection_event(three, "person"))["username"] == "ada"


async def test_a_failure_is_kept_for_a_stream(tmp_path: Path) -> None:
    """A failure without an open stream is sent to the first one that opens."""
    async with running_persons(tmp_path) as site:
        browser = await site.browser()
        await browser.log_in(ADA, "wrong")
        with anyio.fail_after(60):
            while site.gateway.status.statistics()["persons"]["failed"] == 0:  # type: ignore[index]
                await anyio.sleep(0.02)
        async with browser.stream() as tab:
            assert "check the client id" in (await connection_event(tab, "login_failed"))["reason"]
            async with browser.stream() as later:  # another tab, which opened its stream a little later
                assert "check the client id" in (await connection_event(later, "login_failed"))["reason"]


async def test_a_log_out_ends_all_logins_of_the_person(tmp_path: Path) -> None:
    """Every stream of the person is notified, no cookie or token is valid, and no record is kept."""
    async with running_persons(tmp_path) as site:
        home, work = await site.browser(), await site.browser()
        async with home.stream() as one, work.stream() as two:
            await home.log_in(ADA)
            token = (await connection_event(one, "person"))["token"]
            await work.log_in(ADA)
            await connection_event(two, "person")
            assert (await work.client.delete("/api/v1/persons/me")).status_code == 204
            for stream in (one, two):
                assert (await connection_event(stream, "logged_out"))["reason"] == "logged out"
        assert [(await one.me()).status_code for one in (home, work)] == [401, 401]
        assert (await home.me(authorization=f"Bearer {token}")).status_code == 401
        kept = [name async for name in site.gateway.persons.sessions._cache.names("deribit:")]
        assert not [name for name in kept if ":person:" in name or ":session:" in name]


async def test_two_persons_never_see_each_other(tmp_path: Path) -> None:
    """Each browser receives the events of its own person only, also when one of them logs out."""
    async with running_persons(tmp_path) as site:
        first, second = await site.browser(), await site.browser()
        async with first.stream() as one, second.stream() as two:
            await first.log_in(ADA)
            await second.log_in(BOB)
            assert (await connection_event(one, "person"))["username"] == "ada"
            assert (await connection_event(two, "person"))["username"] == "bob"
            await first.client.delete("/api/v1/persons/me")
            await connection_event(one, "logged_out")
            assert (await second.me()).json()["username"] == "bob"


async def test_a_second_person_in_a_browser_replaces_the_first(tmp_path: Path) -> None:
    """The first person is logged out in that browser, and only there."""
    async with running_persons(tmp_path) as site:
        home, work = await site.browser(), await site.browser()
        async with home.stream() as one, work.stream() as two:
            await home.log_in(ADA)
            await connection_event(one, "person")
            await work.log_in(ADA)
            await connection_event(two, "person")
            await connection_event(one, "person")  # the log-in extended ada's login there too
            await home.log_in(BOB)
            assert (await connection_event(one, "person"))["username"] == "bob"
            assert (await work.me()).json()["username"] == "ada"
            await work.client.delete("/api/v1/persons/me")
            await connection_event(two, "logged_out")
            assert (await home.me()).json()["username"] == "bob"
