"""The cluster over Redis."""
