"""A simulated Deribit exchange; start it with ``exchange.running_exchange``. It imports only ``model``."""
