"""A Flower app that moves one array; the file that measures it is `benchmarks/speed/transport/flower.py`."""
