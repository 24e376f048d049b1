"""Snapshot and daily work as tasks, for operators with a scheduler of their own. They run the recorder's statements."""
