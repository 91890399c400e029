"""Refining what the net shares at the sites that hold the data: the work of one site in one round."""
