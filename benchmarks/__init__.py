"""The measuring side: runs the system as a user would and writes down what happened."""

import transplant as transplant  # before all else: it says how gRPC is to be imported
