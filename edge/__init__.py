"""A data site: it trains its own teacher net, ships modules, and measures the universal net at home."""
