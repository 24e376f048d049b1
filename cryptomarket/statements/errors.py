"""The codes and forms of errors. What the client does about each code is in `deribit/error_codes.py`."""

from .sources import ERRORS, INFERRED, PROBE, PUBLIC_METHODS
from .statement import COINBASE_MAIN, DERIBIT, EVERY_HOST, ConfirmedBy, Statement

__all__ = [
    "BAD_JSON_CODE",
    "BAD_JSON_DATA",
    "BAD_JSON_HAS_ID",
    "ERROR_STATUS",
    "FORCED_ERROR",
    "INVALID_PARAMS_CODE",
    "INVALID_PARAMS_DATA",
    "MISSING_SCOPE_CODE",
    "MISSING_VALUE_REASON",
    "NO_TOKEN_CODE",
    "NO_TOKEN_REASON",
    "SHORT_HEARTBEAT_REASON",
    "STALE_SIGNATURE_CODE",
    "SUBSCRIBE_BY_HTTP_CODE",
    "UNKNOWN_INSTRUMENT_CODE",
    "UNKNOWN_INSTRUMENT_REASON",
    "UNKNOWN_METHOD_CODE",
    "WRONG_KEY_CODE",
    "WRONG_NAME_REASON",
    "WRONG_SIGNATURE_CODE",
]

UNKNOWN_METHOD_CODE = Statement(
    "unknown_method_code",
    "An unknown method is answered with {value}.",
    -32601,
    source="a recording of 2025",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=EVERY_HOST,
)
INVALID_PARAMS_CODE = Statement(
    "invalid_params_code",
    "A wrong parameter is answered with {value}.",
    -32602,
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=EVERY_HOST,
)
INVALID_PARAMS_DATA = Statement(
    "invalid_params_data",
    "The data of that error has the keys {value}.",
    ("reason", "param"),
    source="recordings of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=EVERY_HOST,
)
MISSING_VALUE_REASON = Statement(
    "missing_value_reason",
    "The reason of a missing parameter is the text {value}.",
    "value required",
    source="recordings of 2025 and 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=EVERY_HOST,
)
SHORT_HEARTBEAT_REASON = Statement(
    "short_heartbeat_reason",
    "The reason of too short an interval of heartbeats is the text {value}.",
    "value must be >= 10",
    source="a recording of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=EVERY_HOST,
)
UNKNOWN_INSTRUMENT_CODE = Statement(
    "unknown_instrument_code",
    "The ticker of an unknown instrument is answered with {value}.",
    -32602,
    source=f"{PROBE}; {ERRORS} has 13020",
    confirmed_by=ConfirmedBy.PROBE,
)
UNKNOWN_INSTRUMENT_REASON = Statement(
    "unknown_instrument_reason",
    "The reason of that error is the text {value}.",
    "instrument not found",
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
)
WRONG_NAME_REASON = Statement(
    "wrong_name_reason",
    "The reason of a name that no instrument can have is the text {value}.",
    "wrong format",
    source="a recording of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
)
BAD_JSON_CODE = Statement(
    "bad_json_code",
    "A frame that is not JSON is answered with {value}.",
    11050,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=EVERY_HOST,
)
BAD_JSON_DATA = Statement(
    "bad_json_data",
    "The data of that error is the text {value}.",
    "invalid json",
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
)
BAD_JSON_HAS_ID = Statement(
    "bad_json_has_id",
    "That error has an id: {value}.",
    False,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=EVERY_HOST,
)
SUBSCRIBE_BY_HTTP_CODE = Statement(
    "subscribe_by_http_code",
    "A request to subscribe over HTTP is answered with {value}.",
    10030,
    source=ERRORS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
NO_TOKEN_CODE = Statement(
    "no_token_code",
    "A private call without a log-in is answered with {value}.",
    13009,
    source="a recording of 2026; the documentation has 10000",
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=(DERIBIT, COINBASE_MAIN),
)
NO_TOKEN_REASON = Statement(
    "no_token_reason",
    "The reason of that error is the text {value}.",
    "invalid_token",
    source="a recording of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
)
ERROR_STATUS = Statement(
    "error_status",
    "Over HTTP, an error has the status {value}, also 13009.",
    400,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
)
WRONG_KEY_CODE = Statement(
    "wrong_key_code",
    "A log-in with an unknown key is answered with {value}.",
    13004,
    source="a recording of 2026",
    confirmed_by=ConfirmedBy.RECORDING,
)
WRONG_SIGNATURE_CODE = Statement(
    "wrong_signature_code",
    "A log-in with a wrong signature is answered with {value}.",
    13004,
    source=f"a recording of 2026; {ERRORS} has 13009",
    confirmed_by=ConfirmedBy.RECORDING,
)
FORCED_ERROR = Statement(
    "forced_error",
    "public/test with the expected result exception is answered with an error: {value}.",
    True,
    source=PUBLIC_METHODS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=EVERY_HOST,
)
MISSING_SCOPE_CODE = Statement(
    "missing_scope_code",
    "A call that the scope of the token does not cover is answered with {value}.",
    13021,
    source=f"{ERRORS} lists 13021 and 13403",
    confirmed_by=ConfirmedBy.NOBODY,
    others=(13403,),
)
STALE_SIGNATURE_CODE = Statement(
    "stale_signature_code",
    "A signature with a stale timestamp or a used nonce is answered with {value}.",
    13004,
    source=INFERRED,
    confirmed_by=ConfirmedBy.NOBODY,
    others=(13009,),
)
