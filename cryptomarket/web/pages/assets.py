"""The files that pages load: only known kinds of files of a folder, each compressed once."""

import gzip
import re
from typing import Any

import anyio
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

__all__ = ["Assets"]

#: Pages and scripts are released together, so browsers revalidate each time; unchanged files are answered with 304.
REVALIDATE = "no-cache"

#: What a page or another site loads: scripts with their types, styles, pictures, messages, licences. The folders hold
#: other files as well, such as those of the build.
SERVED = re.compile(r"(?:(?:vendor/)?[\w-]+\.(?:js|css|svg|png|LICENSE)|cryptomarket\.d\.ts|messages/[a-z]{2}\.json)\Z")
#: Pictures are compressed already, and small files are one packet anyway.
COMPRESSED = (".js", ".css", ".svg", ".json", ".ts", ".LICENSE")
SMALLEST_BYTES = 500


class Assets(StaticFiles):
    """Files that a browser revalidates before it uses a cached copy; any other file of the folder is 404.

    A compressed copy of each file is kept: compressing the largest takes 60 ms of CPU, which nobody may cause at each
    request.
    """

    def __init__(self, **folder: Any) -> None:
        super().__init__(**folder)
        #: The time of change, the size and the compressed bytes of each file.
        self._copies: dict[str, tuple[float, int, bytes]] = {}

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 304 when the copy of the client is current; raises HTTPException 404."""
        if not SERVED.match(path):
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        response.headers.setdefault("Cache-Control", REVALIDATE)
        if path.endswith(COMPRESSED):
            response.headers.add_vary_header("Accept-Encoding")
            if isinstance(response, FileResponse) and "gzip" in Headers(scope=scope).get("accept-encoding", ""):
                return await self._compressed(response)
        return response

    async def _compressed(self, response: FileResponse) -> Response:
        file, status = str(response.path), response.stat_result
        if status is None or status.st_size < SMALLEST_BYTES:
            return response
        copy = self._copies.get(file)
        if copy is None or copy[:2] != (status.st_mtime, status.st_size):
            copy = status.st_mtime, status.st_size, await anyio.to_thread.run_sync(_compress, file)
            self._copies[file] = copy
        headers = {
            name: value for name, value in response.headers.items() if name not in ("content-length", "accept-ranges")
        }
        return Response(copy[2], headers={**headers, "Content-Encoding": "gzip"})


def _compress(file: str) -> bytes:
    with open(file, "rb") as opened:
        return gzip.compress(opened.read(), mtime=0)
