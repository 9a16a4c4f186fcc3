"""One step of causal linear attention as a pure function: a block and a state in, attended values and a state out."""

from typing import NamedTuple

import torch
from torch import Tensor

from linvid_edu.shapes import Float

from .fixation import FixationRatios
from .functions import EPS


class State(NamedTuple):
    """All that causal linear attention keeps of earlier tokens: f·(d_v + 1) numbers for each head.

    weighted: S = Σ_j φ(k_j) v_jᵀ
    total: z = Σ_j φ(k_j)

    Both are float64 if the device supports it. If tokens are added one by one in float32, the relative error of the
    sums is about 1e-5 after 10⁵ tokens, and after 10⁷ tokens a new token no longer changes them.
    """

    weighted: Float[Tensor, "*batch f d_v"]
    total: Float[Tensor, "*batch 1 f"]


class Passed(NamedTuple):
    """Result of causal attention for one block of tokens.

    out: attended values
    q, k: features r_q ∘ φ(q) and r_k ∘ φ(k) of the block
    own: share of each query's weights that lies on its own block, 0 to 1
    ratios: fixation ratios; None without fixation
    """

    out: Float[Tensor, "*batch n d_v"]
    q: Float[Tensor, "*batch n f"]
    k: Float[Tensor, "*batch n f"]
    own: Float[Tensor, "*batch n"]
    ratios: FixationRatios | None = None


def causal_step(
    phi_q: Float[Tensor, "*batch n f"],
    phi_k: Float[Tensor, "*batch n f"],
    v: Float[Tensor, "*batch n d_v"],
    state: State | None = None,
    *,
    psi_q: Float[Tensor, "*batch n f"] | None = None,
    psi_k: Float[Tensor, "*batch n f"] | None = None,
    eps: int | float = EPS,
    floor: int | float = 0.0,
) -> tuple[Passed, State]:
    """Attend to a block of tokens and to all tokens before it.

    S ← S + Σ_{j in block} φ(k_j) v_jᵀ, z ← z + Σ_{j in block} ψ(k_j); out_i = φ(q_i) S / max(ψ(q_i) · z + eps, floor)

    A block sees itself in full, so its outputs are those of linear attention over all tokens up to its end.

    Args:
        phi_q, phi_k: Features of the queries and keys.
        v: Values.
        state: State after all earlier tokens; None if there are none.
        psi_q, psi_k: Features in the normalizer; None means φ.
        eps: Number added to the normalizer.
        floor: Smallest value that the normalizer may have.

    Returns:
        The result for the block, and the state after it.

    Raises:
        ValueError: If the shape of the block does not match that of the earlier blocks.

    Source: Transformers are RNNs, 2020, arXiv 2006.16236.
    """
    psi_q = phi_q if psi_q is None else psi_q
    block_total = (phi_k if psi_k is None else psi_k).sum(dim=-2, keepdim=True)
    state = _added(state, phi_k.mT @ v, block_total)
    weighted, total = (sums.to(phi_q.dtype) for sums in state)
    z = ((psi_q * total).sum(dim=-1, keepdim=True) + eps).clamp(min=floor)
    own = (psi_q * block_total).sum(dim=-1) / z.squeeze(-1)
    return Passed(phi_q @ weighted / z, phi_q, phi_k, own), state


def _added(state: State | None, weighted: Tensor, total: Tensor) -> State:
    """Return the state with the sums of one more block."""
    precise = weighted.dtype if weighted.device.type == "mps" else torch.float64
    if state is None:
        return State(weighted.to(precise), total.to(precise))
    if weighted.shape != state.weighted.shape:
        raise ValueError(
            f"a block whose sums Σ φ(k) vᵀ are {tuple(weighted.shape)} does not fit those before, whose state is "
            f"{tuple(state.weighted.shape)}: reset() begins a new stream"
        )
    return State(state.weighted + weighted, state.total + total)
