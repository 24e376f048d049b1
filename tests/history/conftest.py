"""A migrated store on each database, for every test of this folder."""

from collections.abc import AsyncIterator

import pytest

from cryptomarket.history.store import Store
from tests.databases import database_url, postgres, postgres_url, sqlite_url

__all__ = ["database_url", "postgres", "postgres_url", "sqlite_url"]


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, migrated, empty store."""
    async with Store(database_url) as opened:
        await opened.migrate()
        yield opened
