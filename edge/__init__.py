"""A data site: it trains its own teacher net, ships modules, and measures the universal net at home."""

import transplant as transplant  # before all else: it says how gRPC is to be imported
