"""Where persons' records are kept: in memory or in Redis."""
