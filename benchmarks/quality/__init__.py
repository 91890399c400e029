"""The quality benches: the paper's experiments and tables redone, every method in one harness."""
