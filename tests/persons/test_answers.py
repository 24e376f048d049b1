"""The headers of every answer about a person, and the attributes of its cookie."""

from pathlib import Path

import anyio
import httpx2

from .site import ADA, running_persons

PATHS = ("/api/v1/persons/me", "/api/v1/persons/me/account", "/api/v1/persons/me/sessions")


async def test_nothing_of_a_person_may_be_stored(tmp_path: Path) -> None:
    """No cache keeps an answer, whoever asks and whatever it says; the cookie is for the server and this site alone."""
    async with running_persons(tmp_path) as site:
        browser = await site.browser()
        answers: list[httpx2.Response] = [await browser.client.get(path) for path in PATHS]
        answers.append(await browser.log_in(ADA))
        set_cookie = answers[-1].headers["set-cookie"]
        while (await browser.me()).status_code != 200:
            await anyio.sleep(0.01)
        answers += [await browser.client.get(path) for path in PATHS]
        answers.append(await browser.client.delete("/api/v1/persons/me"))
    assert [answer.status_code for answer in answers] == [401, 401, 401, 202, 200, 200, 200, 204]
    assert {answer.headers.get("cache-control") for answer in answers} == {"no-store"}
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/"):
        assert f"; {attribute}" in set_cookie
    assert "domain" not in set_cookie.lower()
