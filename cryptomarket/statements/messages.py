"""The form of requests, answers and notifications."""

from .sources import JSON_RPC, PROBE, PUBLIC_METHODS
from .statement import COINBASE_MAIN, COINBASE_STREAMS, DERIBIT, EVERY_HOST, ConfirmedBy, Statement

__all__ = [
    "ANSWERS_WITHOUT_ID",
    "BATCHES",
    "EXPONENTS",
    "HTTP_POSTS",
    "HTTP_WITHOUT_ID",
    "STATUS_IS_TEXT",
    "TEXT_IDS",
    "TIME_IN_MILLISECONDS",
    "TIMING_FIELDS",
    "TIMING_ON_ERRORS",
    "TIMING_ON_NOTIFICATIONS",
]

TIMING_FIELDS = Statement(
    "timing_fields",
    "An answer has the fields {value}.",
    ("usIn", "usOut", "usDiff", "testnet"),
    source="recordings of 2025 and 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=EVERY_HOST,
)
TIMING_ON_ERRORS = Statement(
    "timing_on_errors",
    "An error has these fields as well: {value}.",
    True,
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=EVERY_HOST,
)
TIMING_ON_NOTIFICATIONS = Statement(
    "timing_on_notifications",
    "A notification has one of these fields, or an id: {value}.",
    False,
    source="recordings of 2020 to 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=(DERIBIT, COINBASE_STREAMS),
)
TEXT_IDS = Statement(
    "text_ids",
    "An id may be a text, and comes back as one: {value}.",
    True,
    source="a recording of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=EVERY_HOST,
)
ANSWERS_WITHOUT_ID = Statement(
    "answers_without_id",
    "A request without an id is answered, without an id: {value}.",
    True,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
)
HTTP_WITHOUT_ID = Statement(
    "http_without_id",
    "Over HTTP an answer has no id when the request had none: {value}.",
    True,
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=(DERIBIT, COINBASE_MAIN),
)
HTTP_POSTS = Statement(
    "http_posts",
    "Over HTTP a request may be a POST, whose answer has its id: {value}.",
    True,
    source=JSON_RPC,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=(DERIBIT, COINBASE_MAIN),
)
BATCHES = Statement(
    "batches",
    "Several requests may be sent in one frame: {value}.",
    False,
    source=JSON_RPC,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=EVERY_HOST,
)
EXPONENTS = Statement(
    "exponents",
    "A float may be written with an exponent, such as 8.7e3: {value}.",
    True,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
)
TIME_IN_MILLISECONDS = Statement(
    "time_in_milliseconds",
    "public/get_time is answered with a bare integer, in milliseconds: {value}.",
    True,
    source=PUBLIC_METHODS,
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=(DERIBIT, COINBASE_MAIN),
)
STATUS_IS_TEXT = Statement(
    "status_is_text",
    "In the answer of public/status, locked is a text and not a boolean: {value}.",
    True,
    source="recordings of 2026; an example of the documentation has a boolean",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=(DERIBIT, COINBASE_MAIN),
)
