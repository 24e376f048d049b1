"""Attacks of many addresses at once on one gateway, beside honest users who must not notice: `make attack`."""
