"""Preflight: what serving needs, looked at before sites depend on it."""
