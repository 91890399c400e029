"""The registry: the only SQL of the system."""
