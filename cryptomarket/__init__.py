"""A real-time gateway for prices of the Deribit exchange."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("cryptomarket")
