"""What earlier attempts and runs have left, and whether it counts."""
