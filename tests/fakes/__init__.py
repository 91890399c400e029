"""Stand-ins for what lies outside a test: time, certificates, a merge server."""
