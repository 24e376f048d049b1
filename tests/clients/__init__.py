"""Clients of the exchange that other people wrote, unmodified, against the simulated exchange."""
