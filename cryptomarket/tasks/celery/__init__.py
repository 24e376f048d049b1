"""Celery for those who run it already: `celery -A cryptomarket.tasks.celery worker` and `... beat`, Redis as broker.

A gateway beside it is told `CRYPTOMARKET_RECORDER=off`; even when it is not, a slot is stored once.
"""

import logging
import ssl
import tempfile
from pathlib import Path
from typing import Any

from celery import Celery, signals
from celery.schedules import crontab
from kombu import Exchange, Queue

from ...errors import SettingsError
from ...logs import configure_logs
from ...settings import Settings, read_settings

__all__ = ["MAINTENANCE", "PREFIX", "SIGN_OF_LIFE", "SNAPSHOT", "app", "configuration", "settings"]

#: Of every key in Redis, so that one account can be allowed these and nothing else.
PREFIX = "cryptomarket:celery:"
SNAPSHOT = "cryptomarket.tasks.celery.task_add_every_60_seconds.task_celery_monitoring_currency"
MAINTENANCE = "cryptomarket.tasks.celery.task_maintain_every_day.task_celery_maintenance"
#: Touched by every piece of work; `docker-compose.yml` looks how old it is.
SIGN_OF_LIFE = Path(tempfile.gettempdir(), "cryptomarket.celery")
#: How long a message that a dead worker had taken is gone before another gets it.
TAKEN_SECONDS = 300


def configuration(settings: Settings) -> dict[str, Any]:
    """What Celery is told: the broker, the queues, and what beat sends when.

    Raises SettingsError where there is no broker.
    """
    if settings.redis_url is None:
        raise SettingsError(["CRYPTOMARKET_REDIS_URL: expected the address of Redis, which is Celery's broker"])
    url = settings.redis_url.get_secret_value()
    high, low = (Queue(name, Exchange(name), routing_key=f"{name}.priority") for name in ("high", "low"))
    return {
        "broker_url": url.replace("unix://", "redis+socket://", 1),
        "broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss://") else None,
        "broker_transport_options": {"global_keyprefix": PREFIX, "visibility_timeout": TAKEN_SECONDS},
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
        # Nobody commands a worker over the broker, so nobody who reaches the broker can.
        "worker_enable_remote_control": False,
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": False,
        "worker_redirect_stdouts": False,
        "beat_schedule": {
            # What no worker took in its time is not worth doing: the next is there already.
            "snapshot": {
                "task": SNAPSHOT,
                "schedule": settings.celery_interval,
                "options": {"expires": settings.celery_interval},
            },
            # Each job runs once a day; the later hours make up for a midnight that was missed.
            "maintenance": {"task": MAINTENANCE, "schedule": crontab(minute="0"), "options": {"expires": 3600}},
        },
    }


settings = read_settings()
app = Celery("cryptomarket")
app.conf.update(configuration(settings))


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
@signals.task_postrun.connect  # type: ignore[untyped-decorator]
@signals.after_task_publish.connect  # type: ignore[untyped-decorator]
def _live(**_: object) -> None:
    """A worker lives by what it does, a beat by what it sends; a process that hangs leaves its sign to grow old."""
    SIGN_OF_LIFE.touch()


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _speak(**_: object) -> None:
    """Our own form of logs instead of Celery's, so that one reader understands all processes."""
    configure_logs(settings.log_level, settings.log_format, node=settings.node)
    for name in ("celery.beat", "celery.worker.strategy"):  # a line for each message, beside the line for its result
        logging.getLogger(name).setLevel(logging.WARNING)
