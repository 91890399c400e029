"""The audit log outside the registry: its noted head, and the commands that look at it."""
