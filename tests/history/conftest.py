"""A migrated store on each database, for every test of this folder."""

from collections.abc import AsyncIterator

import pytest

from tests.databases import StoredHistory, database_url, postgres, postgres_url, sqlite_url

__all__ = ["database_url", "postgres", "postgres_url", "sqlite_url"]


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[StoredHistory]:
    """An open, migrated, empty store."""
    async with StoredHistory(database_url) as opened:
        await opened.migrate()
        yield opened
