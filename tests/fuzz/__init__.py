"""Coverage-guided fuzzing of what reads foreign bytes; `make fuzz` runs it, the suite replays its corpus."""
