"""What the merge server and the data sites share: nets, adapters, artifacts and the wire."""
