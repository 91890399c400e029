"""Make torchvision importable where its compiled extension cannot load.

torchvision's wheel is built against one flavour of torch. Beside another (a CPU-only build, say) its
extension does not load, and the import then fails on registering fake kernels for two operators that
were never declared. Declaring their schemas first is enough for `models`, `datasets` and
`transforms.v2`, which use neither; calling one of the two still raises, as it should.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[torch.library.Library] = []


def ensure_torchvision_ops() -> None:
    """Declare `torchvision::nms` and `torchvision::qnms` if, and only if, the extension cannot load.

    Safe to call any number of times; call it before every first import of torchvision.
    """
    if _declared or _extension_loads():
        return
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS.values():
        library.define(schema)
    _declared.append(library)  # the declaration lives as long as the object does


def _extension_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # the import itself will say what is missing
    for extension in sorted(Path(spec.origin).parent.glob("_C*")):
        try:
            torch.ops.load_library(str(extension))
        except OSError:
            return False
        return hasattr(torch.ops.torchvision, "nms")
    return False
