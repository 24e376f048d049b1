"""How nodes share what one of them receives."""
