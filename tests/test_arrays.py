"""Anything that holds numbers becomes a numpy array."""

import numpy as np
import torch

from linvid_edu.arrays import to_numpy


def test_to_numpy_leaves_the_values_alone():
    x = torch.randn(3, requires_grad=True)
    assert (to_numpy(x) == x.detach().numpy()).all()
    assert to_numpy(x.bfloat16()).dtype == np.float32
