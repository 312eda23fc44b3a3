"""Questions that are put to workers, and failures of them that may pass."""
