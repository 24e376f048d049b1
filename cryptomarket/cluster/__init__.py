"""What nodes share: messages, requests to the leader, leadership, membership; one interface, two implementations."""
