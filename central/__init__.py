"""The merge server: receives modules, grows the transplant net, publishes numbered versions."""
