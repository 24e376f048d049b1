"""Keeps what the process holds from other users of the machine: its files, and its memory in a core dump."""

import os
import resource

__all__ = ["forbid_core_dumps", "keep_files_private"]


def keep_files_private() -> None:
    """Let only the owner read and write files that this process creates from now on."""
    os.umask(0o077)


def forbid_core_dumps() -> None:
    """Forbid core dumps, which would hold keys and passwords, to this process and those that it starts.

    A debugger of the same user still works: that user can read the key file as well.
    """
    # Not 0: Linux ignores the limit for a program that receives dumps, such as systemd-coredump, unless it is 1.
    # A file of one byte is never written.
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 1 if hard == resource.RLIM_INFINITY else min(hard, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, hard))
