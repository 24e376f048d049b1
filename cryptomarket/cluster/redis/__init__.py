"""The cluster of many nodes through one Redis."""
