"""float32 tensors in NumPy's .npy form, as Flower's records carry them, read without trusting a length.

`numpy.load` allocates what a header claims before it looks at how many bytes there are. Here the expected
shape is known, so the header is compared with it and the bytes are counted first.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from transplant.errors import PayloadMalformed

if TYPE_CHECKING:
    from torch import Tensor

_HEADER_BYTES = 4096  # more than the header of any shape takes


def tensor_from_npy(data: bytes, shape: tuple[int, ...]) -> Tensor:
    """Return the float32 tensor of a .npy file (format 1.0, little-endian, C order) of a known shape.

    Raises:
        PayloadMalformed: if it is of another shape or type, or is not such a file at all.
    """
    expected = 4 * math.prod(shape)
    if not expected < len(data) <= expected + _HEADER_BYTES:
        raise PayloadMalformed(f"{len(data)} bytes are no float32 array of the shape {shape}")
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        told, fortran, kind = np.lib.format.read_array_header_1_0(file)
    except (ValueError, SyntaxError, TypeError) as error:
        raise PayloadMalformed(f"not an array in NumPy's form: {str(error)[:200]}") from error
    if version != (1, 0) or fortran or kind != np.dtype("<f4") or tuple(told) != shape:
        raise PayloadMalformed(f"an array of {kind} {tuple(told)}, where float32 {shape} was expected")
    body = data[file.tell() :]
    if len(body) != expected:
        raise PayloadMalformed(f"{len(body)} bytes behind the header of a float32 array of shape {shape}")
    return torch.frombuffer(bytearray(body), dtype=torch.float32).view(shape)


def array_of(tensor: Tensor) -> np.ndarray:
    """Return a tensor as the float32 array, in C order, that is sent."""
    return np.ascontiguousarray(tensor.detach().to("cpu", torch.float32).numpy())
