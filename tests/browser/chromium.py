"""A real Chromium on a page of ours, which collects whatever a person would find in its console."""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, async_playwright, expect

__all__ = ["ARTIFACTS", "Window", "chromium"]

#: Pictures for people to look at; git ignores them.
ARTIFACTS = Path(__file__).parents[2] / "artifacts"

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

#: How long a page may take to show what it must: long, because the machine may be busy with other tests.
PATIENCE_MS = 45_000
expect.set_options(timeout=PATIENCE_MS)

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclass
class Window:
    """One browser context: its pages share cookies, and none may complain or ask a stranger."""

    context: BrowserContext
    origin: str
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    #: Complaints that the test causes on purpose, such as a refused connection while the gateway is away.
    expected: tuple[str, ...] = ()
    #: Other origins that the page may ask.
    friends: tuple[str, ...] = ()

    async def open(self, path: str = "/") -> Page:
        """A new page at the path."""
        page = await self.context.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", self._request)
        await page.goto(self.origin + path)
        return page

    def _console(self, message: ConsoleMessage) -> None:
        known = any(words in message.text for words in self.expected)
        if message.type in ("error", "warning") and not known:
            self.complaints.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.origin, *self.friends, "data:", "blob:")):
            self.strangers.append(request.url)

    async def picture(self, page: Page, name: str) -> None:
        """Keep what the whole page looks like."""
        ARTIFACTS.mkdir(exist_ok=True)
        await page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)

    async def pictures(self, page: Page, name: str) -> None:
        """Keep what the page looks like in both themes, from telephone to desk; nothing may stick out to the side."""
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme)
            for width in (320, 768, 1280):
                await page.set_viewport_size({"width": width, "height": 900})
                await self.picture(page, f"{name}-{theme}-{width}")
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, (theme, width)


@contextlib.asynccontextmanager
async def chromium(origin: str, *, dark: bool = False, locale: str = "en-GB") -> AsyncIterator[Window]:
    """A window of the system's Chromium; skips the test where there is none, and fails it when a page complained."""
    path = os.environ.get("CRYPTOMARKET_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium on this machine (set CRYPTOMARKET_CHROMIUM)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        context = await browser.new_context(
            viewport={"width": 1280, "height": 900},
            color_scheme="dark" if dark else "light",
            locale=locale,
            timezone_id="UTC",
        )
        context.set_default_timeout(PATIENCE_MS)
        window = Window(context, origin)
        yield window
        await browser.close()
    assert not window.complaints, window.complaints
    assert not window.strangers, window.strangers
