"""Composition: builds the parts of a node, starts them and stops them.

uvicorn cryptomarket.app:create_app --factory
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .asgi import Application

__all__ = ["create_app"]


def create_app() -> "Application":
    """The gateway as an ASGI application, with the settings of the environment; any ASGI server runs it.

    It raises nothing: a server reports wrong settings as a failed start, in a sentence, when its lifespan begins.
    """
    from .asgi import Application  # the libraries of a gateway take a second, which an import of this package does not

    return Application()
