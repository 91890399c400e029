"""Answers predictions with a version of the net, on Ray Serve."""
