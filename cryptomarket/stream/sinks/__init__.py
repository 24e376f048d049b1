"""How bytes reach one reader: through ASGI or straight into the socket."""
