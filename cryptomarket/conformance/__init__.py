"""Checks of event streams: a strict parser, and a suite that examines the stream of any server."""
