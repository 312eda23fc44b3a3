"""What callers in Python use, and the command line, too: pipelines, runs and their options."""
