"""Small protocols for what lies outside the process: blobs and time."""
