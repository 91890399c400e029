"""What the center does, one verb a file."""
