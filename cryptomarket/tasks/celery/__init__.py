"""The Celery application: `celery -A cryptomarket.tasks.celery worker` and `... beat`, with Redis as broker.

Set `CRYPTOMARKET_RECORDER=off` for a gateway beside it. A slot is stored once even without that. What streams of
gateways want is stored as well.
"""

import logging
import ssl
import tempfile
from pathlib import Path
from typing import Any

import click
from celery import Celery, signals
from celery.schedules import crontab
from click.core import ParameterSource
from kombu import Exchange, Queue

from ...errors import SettingsError
from ...hardening import forbid_core_dumps, keep_files_private
from ...logs import configure_logs
from ...settings import Settings, read_settings

__all__ = ["HEARTBEAT_FILE", "MAINTENANCE", "PREFIX", "SNAPSHOT", "app", "configuration", "settings"]

#: Prefix of every key in Redis, so that an account can be allowed these keys and no others.
PREFIX = "cryptomarket:celery:"
SNAPSHOT = "cryptomarket.tasks.celery.task_add_every_60_seconds.task_celery_monitoring_currency"
MAINTENANCE = "cryptomarket.tasks.celery.task_maintain_every_day.task_celery_maintenance"
#: Touched by every task and message; the health check in `docker-compose.yml` reads its age.
HEARTBEAT_FILE = Path(tempfile.gettempdir(), "cryptomarket.celery")
#: How long after a worker died its message is delivered to another.
REDELIVERY_SECONDS = 300


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's configuration: the broker, the queues and the schedule. Raises SettingsError without a broker."""
    if settings.redis_url is None:
        raise SettingsError(["CRYPTOMARKET_REDIS_URL: expected the address of Redis, which is Celery's broker"])
    url = settings.redis_url.get_secret_value()
    high, low = (Queue(name, Exchange(name), routing_key=f"{name}.priority") for name in ("high", "low"))
    return {
        "broker_url": url.replace("unix://", "redis+socket://", 1),
        "broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss://") else None,
        "broker_transport_options": {"global_keyprefix": PREFIX, "visibility_timeout": REDELIVERY_SECONDS},
        "broker_connection_retry_on_startup": True,
        "include": [name.rpartition(".")[0] for name in (SNAPSHOT, MAINTENANCE)],
        "task_queues": [high, low],
        "task_default_queue": "high",
        "task_routes": {
            SNAPSHOT: {"queue": "high", "exchange": "high", "routing_key": "high.priority"},
            MAINTENANCE: {"queue": "low", "exchange": "low", "routing_key": "low.priority"},
        },
        "task_ignore_result": True,
        "timezone": "UTC",
        # Remote control is not used, and with it anyone who reaches the broker could command a worker.
        "worker_enable_remote_control": False,
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": False,
        "worker_redirect_stdouts": False,
        "beat_schedule": {
            # A message that no worker took in time is dropped: the next one is already queued.
            "snapshot": {
                "task": SNAPSHOT,
                "schedule": settings.celery_interval,
                "options": {"expires": settings.celery_interval},
            },
            # Each job runs once a day; the other hours repeat a midnight that was missed.
            "maintenance": {"task": MAINTENANCE, "schedule": crontab(minute="0"), "options": {"expires": 3600}},
        },
    }


settings = read_settings()
app = Celery("cryptomarket")
app.conf.update(configuration(settings))


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
@signals.task_postrun.connect  # type: ignore[untyped-decorator]
@signals.after_task_publish.connect  # type: ignore[untyped-decorator]
def _touch_heartbeat_file(**_: object) -> None:
    """Show that a worker has done something or that beat has sent something; the file of a hanging process ages."""
    HEARTBEAT_FILE.touch()


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _harden(**_: object) -> None:
    """Harden a worker or beat at the first signal of both: `beat_init` comes after beat has written its schedule."""
    forbid_core_dumps()
    keep_files_private()


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logs(loglevel: int, logfile: str | None, colorize: bool, **_: object) -> None:
    """Log in our own form, so that all processes log alike; Celery's options for level, file and colour count."""
    context = click.get_current_context(silent=True)
    given = context is not None and context.get_parameter_source("loglevel") is ParameterSource.COMMANDLINE
    level = logging.getLevelName(loglevel) if given else settings.log_level
    configure_logs(level, settings.log_format, node=settings.node, file=logfile, colors=colorize)
