"""Simulated federations of many sites: transplanting beside what a user would pick instead."""

import os

# Flower reads these when it is imported, by whichever module comes first; what the user has set stays.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
