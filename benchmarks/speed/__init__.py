"""What learning costs in time and memory, always beside a baseline that was measured in the same run."""
