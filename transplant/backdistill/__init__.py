"""Back-distillation: Zhang et al., Network Transplanting (arXiv 1901.06978)."""
