"""The merge server: receives modules, grows the transplant net, publishes numbered versions."""

import transplant as transplant  # before all else: it says how gRPC is to be imported
