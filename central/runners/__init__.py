"""Engines that execute merge tasks: one plan, two engines."""
