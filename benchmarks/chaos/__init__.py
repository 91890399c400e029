"""Many sites, one real merge server, and everything that can go wrong between them."""
