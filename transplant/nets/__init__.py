"""Category modules, task modules, adapters, and the nets that they make.

Importing this package makes torchvision importable (see `torchvision_ops`); torchmetrics imports it too.
"""

from transplant.nets.torchvision_ops import ensure_torchvision_ops

ensure_torchvision_ops()
