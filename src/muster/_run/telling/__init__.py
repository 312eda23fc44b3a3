"""What is journaled and said of a run while it goes on, and at its end."""
