"""Stored prices: the recorder, the repositories of the tables, backfill, retention and exports."""
