"""How fast a module comes in, beside a plain gRPC stream of the same bytes and beside Flower."""
