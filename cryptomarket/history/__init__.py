"""Stored prices: the tables, the recorder that writes them, and everything that reads, fills or exports them."""
