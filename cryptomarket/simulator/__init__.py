"""A look-alike of the Deribit exchange: ``exchange.running_exchange``. It knows only ``model``, and no network."""
