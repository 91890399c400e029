"""Preflight: what can keep a site from its center, looked at before it matters."""
