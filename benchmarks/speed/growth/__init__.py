"""`transplant-bench speed growth`: what the center costs around learning, on Ray and in its own threads."""
