"""Anything that holds numbers, as a numpy array."""

from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

ArrayLike: TypeAlias = Any  # a tensor on any device, a numpy array, a number, or nested lists of these


def to_numpy(values: ArrayLike) -> np.ndarray:
    """Convert tensors, arrays, numbers and nested lists of them to one numpy array.

    Args:
        values: A tensor on any device, with or without gradient, an array, a number, or nested lists of these.

    Returns:
        The same values; bfloat16, which numpy lacks, becomes float32.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu().resolve_conj().resolve_neg()
        return (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()
    if isinstance(values, (list, tuple)):
        return np.asarray([to_numpy(value) for value in values])
    return np.asarray(values)
