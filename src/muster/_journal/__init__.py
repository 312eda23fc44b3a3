"""What a run writes down, and what is known of all runs of this user."""
