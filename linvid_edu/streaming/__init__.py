"""Attention in constant memory: the sums of linear attention, kept while a video passes frame by frame.

The sums Σ φ(k_j) v_jᵀ and Σ φ(k_j) do not care how many tokens went into them. A stream keeps them, and nothing of what
has passed; softmax attention would have to keep every key.
"""

from .attention import CausalAttention, Passed, State, frame_map, frame_rows
from .kernels import CausalRival, causal_attention
from .model import CausalAssociation, ModelStream, Step

__all__ = [
    "CausalAssociation",
    "CausalAttention",
    "CausalRival",
    "ModelStream",
    "Passed",
    "State",
    "Step",
    "causal_attention",
    "frame_map",
    "frame_rows",
]
