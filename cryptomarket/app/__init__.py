"""Composition: builds the parts of a node, starts them and stops them."""
