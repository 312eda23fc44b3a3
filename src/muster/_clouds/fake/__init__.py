"""A cloud without machines, for tests: what ``muster.testing`` shows of it."""
