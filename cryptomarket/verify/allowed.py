"""The only methods that verify sends: none of them changes an account, an order or a position."""

import json

from ..errors import InternalError

__all__ = ["ALLOWED", "UNKNOWN_METHOD", "check_allowed"]

#: A method that does not exist.
UNKNOWN_METHOD = "public/no_such_method"
ALLOWED = frozenset(
    {
        UNKNOWN_METHOD,
        "public/auth",
        "public/disable_heartbeat",
        "public/fork_token",
        "public/get_book_summary_by_currency",
        "public/get_currencies",
        "public/get_delivery_prices",
        "public/get_expirations",
        "public/get_historical_volatility",
        "public/get_index",
        "public/get_index_chart_data",
        "public/get_index_price",
        "public/get_index_price_names",
        "public/get_instrument",
        "public/get_instruments",
        "public/get_order_book",
        "public/get_supported_index_names",
        "public/get_time",
        "public/get_tradingview_chart_data",
        "public/get_volatility_index_data",
        "public/hello",
        "public/set_heartbeat",
        "public/status",
        "public/subscribe",
        "public/test",
        "public/ticker",
        "public/unsubscribe",
        "public/unsubscribe_all",
        "private/get_account_summaries",
        "private/get_account_summary",
        "private/get_positions",
        "private/get_subaccounts",
        "private/logout",
        "private/subscribe",
    }
)


def check_allowed(text: str) -> None:
    """Raise InternalError when a frame or body requests any other method; one that is no JSON requests nothing."""
    try:
        message = json.loads(text)
    except ValueError:
        return
    for request in message if isinstance(message, list) else [message]:
        if isinstance(request, dict) and request.get("method", "public/test") not in ALLOWED:
            raise InternalError(f"verify must not send {str(request['method'])[:60]}")
