"""Machines of AWS, made by Pulumi for one cluster. It is loaded only where a cluster of AWS is asked for."""
