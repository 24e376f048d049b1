"""What people and programs open: the REST API, the pages, health, and how all of them refuse."""
