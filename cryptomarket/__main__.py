"""`python -m cryptomarket` is the command `cryptomarket`."""

from .cli import main

main()
