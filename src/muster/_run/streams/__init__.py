"""Runs whose inputs are followed, epoch after epoch."""
