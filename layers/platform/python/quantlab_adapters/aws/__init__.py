"""Adapters on AWS: clients made when first used, faults of the ports instead of their errors."""
