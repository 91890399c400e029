"""Commands about the transplant net: what is planned, whose a route is, what leaves and comes back."""
