"""Who does the tasks: workers of this computer, or a cluster."""
