"""Checks the statements about the exchange at a real or a simulated exchange. It places no order."""
