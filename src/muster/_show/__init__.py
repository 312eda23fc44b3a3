"""How people are told: of a run while it works, of what it came to, of what went wrong."""
