"""NaN and infinities of a teacher are found where its numbers are first used, not in what was learned.

Admission looks at every tensor that arrives; what is left are teachers whose numbers overflow on images that
no trial run saw, and learners that are called with nets of any origin.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from transplant.errors import TensorNotFinite

if TYPE_CHECKING:
    from torch import Tensor, nn

REMEDY = "its weights are damaged or its numbers overflow, so its site must train it anew and send it again"


def check_finite(values: Tensor, what: str) -> Tensor:
    """Return `values` as they are.

    Args:
        values: of any shape.
        what: the subject of the sentence that the error says, such as "the teacher's answers".

    Raises:
        TensorNotFinite: if one of them is NaN or an infinity.
    """
    # Least and largest: NaN shows in both, and no second tensor of this size is made.
    if values.numel() and not all(math.isfinite(float(each)) for each in values.aminmax()):
        raise TensorNotFinite(f"{what} hold NaN or an infinity: {REMEDY}")
    return values


def check_finite_net(net: nn.Module, whose: str) -> None:
    """Check every weight of a net.

    Raises:
        TensorNotFinite: naming the tensor.
    """
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            check_finite(tensor, f"the weights {name} of {whose}")
