"""Merging: the plan, the state machine, the loop around both."""
