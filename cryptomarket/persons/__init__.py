"""Persons: a login with a Deribit key, an encrypted session token on the stream, and nothing that could leak."""
