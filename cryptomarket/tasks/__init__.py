"""The snapshot as a task, for those who run a scheduler of their own: the statements are the recorder's."""
