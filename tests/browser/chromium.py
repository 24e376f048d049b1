"""A real Chromium on our pages; a test fails when a page logs an error or requests another origin."""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, async_playwright, expect

__all__ = ["ARTIFACTS", "THEMES", "Window", "chromium"]

#: Screenshots, ignored by git.
ARTIFACTS = Path(__file__).parents[2] / "artifacts"

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

#: The longest wait for a page: other tests may keep the machine busy.
TIMEOUT_MS = 45_000
expect.set_options(timeout=TIMEOUT_MS)

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
    """One browser context: its pages share cookies, storage and workers."""

    context: BrowserContext
    origin: str
    #: Errors and warnings in the console, and uncaught exceptions.
    errors: list[str] = field(default_factory=list)
    #: Requests to origins that are not allowed.
    foreign_requests: list[str] = field(default_factory=list)
    #: Parts of error messages that the test causes on purpose.
    expected_errors: tuple[str, ...] = ()
    #: Further origins that the pages may request.
    allowed_origins: tuple[str, ...] = ()

    async def open(self, path: str = "/") -> Page:
        """Return a new page at the path, loaded."""
        page = await self.context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(f"error: {error}"))
        page.on("request", self._on_request)
        await page.goto(self.origin + path)
        return page

    def _on_console(self, message: ConsoleMessage) -> None:
        expected = any(part in message.text for part in self.expected_errors)
        if message.type in ("error", "warning") and not expected:
            self.errors.append(f"{message.type}: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.origin, *self.allowed_origins, "data:", "blob:")):
            self.foreign_requests.append(request.url)

    async def screenshot(self, page: Page, name: str) -> Path:
        """Write a screenshot of the whole page to the artifacts and return its path."""
        ARTIFACTS.mkdir(exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        await page.screenshot(path=path, full_page=True)
        return path

    async def check_widths(self, page: Page, name: str) -> None:
        """Assert that the page never scrolls sideways, in both themes; keep screenshots at 390 and 1280 px."""
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme)
            for width in (320, 390, 768, 1280):
                await page.set_viewport_size({"width": width, "height": 900})
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, (theme, width)
                if width in (390, 1280):
                    await self.screenshot(page, f"{name}-{theme}-{width}")


@contextlib.asynccontextmanager
async def chromium(origin: str, *, dark: bool = False, locale: str = "en-GB") -> AsyncIterator[Window]:
    """A window of the installed Chromium; skips the test where there is none.

    At the end, fails the test when a page logged an error or requested another origin.
    """
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
        context.set_default_timeout(TIMEOUT_MS)
        window = Window(context, origin)
        yield window
        await browser.close()
    assert not window.errors, window.errors
    assert not window.foreign_requests, window.foreign_requests
