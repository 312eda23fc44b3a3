"""Aggregations of groups in columns: parts of them for the rows of one task, and what these come to together."""
