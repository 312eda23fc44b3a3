"""The tasks of a run: its stages, the loop of each, and what comes of it."""
