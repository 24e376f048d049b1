"""The codes and forms of errors."""

from .sources import ERRORS, INFERRED, PROBE
from .statement import ConfirmedBy, Statement

__all__ = ["ERROR_STATUS", "MISSING_SCOPE_CODE", "STALE_SIGNATURE_CODE"]

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
ERROR_STATUS = Statement(
    "error_status",
    "Over HTTP, an error has the status {value}, also 13009.",
    400,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
)
