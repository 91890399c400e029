"""Category modules, task modules, adapters, and the nets that they make."""
