"""The field's usual answers, started beside ours: processes pinned to one core, and what they cost."""

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
#: What a benchmark builds or fetches; never committed.
CACHE = HERE.parents[1] / "artifacts" / "bench"
SERVER_CORE, LOAD_CORE = 0, 1
#: A server that is busy answers its control late; one that does not by then never will.
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
    """A peer that cannot be started here, and why."""


class Stuck(Exception):
    """Something did not answer in time."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise Stuck, wherever it is, when the block is not done in time: nothing here may wait for ever."""

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
    """Its answer to a line: one line, and in time."""
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
    """Close what it is spoken with by, and wait for it, but not for long."""
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
    """A running server and what tells it its rate."""

    name: str
    port: int
    pids: list[int]
    control: "subprocess.Popen[str]"
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def rate(self, per_second: float) -> None:
        """Publish so often from now on."""
        ask(self.control, str(per_second))

    def cpu_seconds(self) -> float:
        """What its processes have used."""
        total = 0
        for pid in self.pids:
            numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(numbers[11]) + int(numbers[12])
        return total / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """What its processes hold, shared pages divided."""
        total = 0
        for pid in self.pids:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        return total * 1024


def pinned(command: list[str], core: int) -> "subprocess.Popen[str]":
    """A process on one core, spoken with by lines."""
    return subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE.parents[1],
    )


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ready(process: "subprocess.Popen[str]") -> None:
    """Wait for the line that says so."""
    assert process.stdout is not None
    while True:
        line = process.stdout.readline()
        if line.startswith("ready"):
            return
        if not line:
            raise Absent("it ended before it served")


def python(name: str, port: int) -> Peer:
    """One of `servers.py`."""
    process = pinned([sys.executable, "-m", "tests.benchmarks.servers", name, str(port)], SERVER_CORE)
    ready(process)
    return Peer(name, port, [process.pid], process, [process])


def better_sse(port: int) -> Peer:
    """The npm package, fetched once into the cache."""
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
    """nginx with the module, one worker, and a publisher on the other core."""
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
    """How many files a process may hold."""
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
#: Those that stand side by side in the table.
COMPARED = ("ours", "nchan", "better-sse", "streaming", "sse-starlette", "ours-asgi")


@contextlib.contextmanager
def running(name: str, port: int = 0) -> Iterator[Peer]:
    """The peer on the port, or a free one. Raises Absent where it cannot be had."""
    peer = PEERS[name](port or free_port())
    try:
        yield peer
    finally:
        for process in reversed(peer.started):
            process.send_signal(signal.SIGTERM)
            end(process)
