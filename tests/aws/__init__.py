"""A pretended region of AWS: moto answers for its API, and behind each instance stands a host of ``hosts``."""
