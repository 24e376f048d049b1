"""What is known of the market on every node: latest values, wanted tickers, the catalogue."""
