"""What the project claims (`claims.toml`), held against what was measured (`benchmarks/results`)."""
