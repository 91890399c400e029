"""gRPC servicers: parse, use case, reply."""
