"""Starts the compared servers, each pinned to one core, and measures their CPU time and memory."""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "CACHE",
    "COMPARED",
    "HERE",
    "LOAD_CORE",
    "Absent",
    "Peer",
    "Stuck",
    "ask",
    "end",
    "open_files",
    "pinned",
    "running",
    "within",
]

HERE = Path(__file__).parent
#: Built and downloaded files of benchmarks; never committed.
CACHE = HERE.parents[1] / "artifacts" / "bench"
SERVER_CORE, LOAD_CORE = 0, 1
#: After this time a server that has not answered a command is stuck.
ANSWER_SECONDS = 30.0

NCHAN = """
load_module {module};
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
worker_rlimit_nofile {files};
events {{ worker_connections {files}; }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    nchan_max_reserved_memory 256M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        keepalive_requests 1000000;
        location /sse/ {{ nchan_subscriber eventsource; nchan_channel_id prices; nchan_subscriber_first_message newest; }}
        location /pub {{ nchan_publisher; nchan_channel_id prices; nchan_message_buffer_length 1; }}
    }}
}}
"""


class Absent(Exception):
    """A server cannot be started on this machine; the message is the reason."""


class Stuck(Exception):
    """Something did not answer in time."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise Stuck in the block when its time is over."""

    def give_up(*_: object) -> None:
        raise Stuck(f"not done within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ask(process: "subprocess.Popen[str]", line: str) -> str:
    """Send a line; return the line of the answer. Raises Stuck if there is none in time."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    if not select.select([process.stdout], [], [], ANSWER_SECONDS)[0]:
        raise Stuck(f"no answer to {line!r} within {ANSWER_SECONDS:g} s")
    answer = process.stdout.readline()
    if not answer:
        raise Stuck(f"it ended before it answered {line!r}")
    return answer


def end(process: "subprocess.Popen[str]") -> None:
    """Close the standard input of the process and wait for its end; kill it after ten seconds."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


@dataclass
class Peer:
    """A running server; ``control`` is the process that reads its rate."""

    name: str
    port: int
    pids: list[int]
    control: "subprocess.Popen[str]"
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def rate(self, per_second: float) -> None:
        """Set the rate of events."""
        ask(self.control, str(per_second))

    def cpu_seconds(self) -> float:
        """Return the CPU time of its processes."""
        total = 0
        for pid in self.pids:
            numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(numbers[11]) + int(numbers[12])
        return total / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """Return the memory of its processes, with a proportional share of shared pages."""
        total = 0
        for pid in self.pids:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        return total * 1024


def pinned(command: list[str], core: int) -> "subprocess.Popen[str]":
    """Start a process on one core, with pipes for lines."""
    return subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE.parents[1],
    )


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ready(process: "subprocess.Popen[str]") -> None:
    """Wait for the line `ready`. Raises Absent if the process ends before."""
    assert process.stdout is not None
    while True:
        line = process.stdout.readline()
        if line.startswith("ready"):
            return
        if not line:
            raise Absent("it ended before it served")


def python(name: str, port: int) -> Peer:
    """Start a server of `servers.py`."""
    process = pinned([sys.executable, "-m", "tests.benchmarks.servers", name, str(port)], SERVER_CORE)
    ready(process)
    return Peer(name, port, [process.pid], process, [process])


def better_sse(port: int) -> Peer:
    """Start better-sse, which is installed once into the cache."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise Absent("there is no node or npm")
    if not (CACHE / "node_modules" / "better-sse").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(CACHE), "better-sse@0.16.1"]
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=60)
        except subprocess.SubprocessError as exc:
            raise Absent("npm could not fetch it") from exc
    process = pinned([node, str(HERE / "better_sse.mjs"), str(CACHE), str(port)], SERVER_CORE)
    ready(process)
    return Peer("better-sse", port, [process.pid], process, [process])


def nchan(port: int) -> Peer:
    """Start nginx with the module and one worker, and a publisher on the other core."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    modules = [Path(f) / "ngx_nchan_module.so" for f in ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules")]
    module = next((path for path in modules if path.exists()), None)
    if not Path(nginx).exists() or module is None:
        raise Absent("nginx with libnginx-mod-nchan is not installed")
    folder = Path(tempfile.mkdtemp(prefix="nchan-"))
    config = folder / "nginx.conf"
    config.write_text(NCHAN.format(module=module, folder=folder, port=port, files=open_files()))
    server = pinned([nginx, "-c", str(config), "-p", str(folder)], SERVER_CORE)
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        if server.poll() is not None or time.monotonic() > deadline:
            raise Absent("nginx does not start")
        time.sleep(0.05)
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    publisher = pinned([sys.executable, "-m", "tests.benchmarks.servers", "post", str(port)], LOAD_CORE)
    ready(publisher)
    return Peer("nchan", port, [server.pid, *map(int, children)], publisher, [server, publisher])


def open_files() -> int:
    """Return the limit of open files of a process."""
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


PEERS: dict[str, Callable[[int], Peer]] = {
    "ours": lambda port: python("ours", port),
    "nchan": nchan,
    "better-sse": better_sse,
    "streaming": lambda port: python("streaming", port),
    "sse-starlette": lambda port: python("sse-starlette", port),
    "ours-asgi": lambda port: python("ours-asgi", port),
    "ours-full": lambda port: python("ours-full", port),
}
#: The servers of the table.
COMPARED = ("ours", "nchan", "better-sse", "streaming", "sse-starlette", "ours-asgi")


@contextlib.contextmanager
def running(name: str, port: int = 0) -> Iterator[Peer]:
    """Run a server on the port, or on a free one. Raises Absent if it cannot be started."""
    peer = PEERS[name](port or free_port())
    try:
        yield peer
    finally:
        for process in reversed(peer.started):
            process.send_signal(signal.SIGTERM)
            end(process)
