"""Which attention functions of a model stream, and the kernel rivals that do."""

from torch import Tensor

from linvid_edu.shapes import Extent

from .causal import CausalAttention
from .mechanisms import LinearAttention, Mechanism
from .rivals import RIVALS
from .rivals.base import KernelRival, Products
from .rivals.focused_linear_2023 import FocusedLinear
from .rivals.sana_video_attention_2025 import SanaVideoAttention, rotary_angles, rotate


class CausalRival(CausalAttention):
    """A kernel rival of a model, with its fixation, on a stream.

    SANA's places count from the start of the stream. What focused linear attention adds to its normalizer for each key,
    it adds for each that has passed.

    Args:
        rival: whose features depend on the token and its place alone.

    Raises:
        ValueError: they do not, or something beside them is added to the output.
    """

    def __init__(self, rival: KernelRival) -> None:
        if rival.not_streaming:
            raise ValueError(_refusal(rival))
        if isinstance(rival, FocusedLinear) and rival.convolution is not None:
            side = rival.convolution.kernel_size[0]
            raise ValueError(f"focused_linear with side={side} adds a convolution to what streams: leave side out")
        super().__init__(fixation=rival.fixation)
        self.rival = rival

    def features(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ(q) and φ(k) of a block."""
        return self.rival.features(q, k)

    def products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent) -> Products:
        """Return what the rival multiplies, at the place of this block in the stream."""
        made, n = self.rival.products(phi_q, phi_k, extent), extent.tokens
        if isinstance(self.rival, FocusedLinear):
            return made._replace(eps=made.eps * (self.seen + n) / n)
        if isinstance(self.rival, SanaVideoAttention):
            one_frame = rotary_angles(Extent(2, 1, 1), phi_q.shape[-1], self.rival.theta)[1:]  # (1 half)
            passed = self.seen // (extent.h * extent.w) * one_frame.expand(n, -1)
            return made._replace(phi_q=rotate(made.phi_q, passed), phi_k=rotate(made.phi_k, passed))
        return made


def causal_attention(mechanism: Mechanism) -> CausalAttention:
    """Return a stream of what a layer of a model computes, with its feature map and fixation.

    Args:
        mechanism: linear attention, or a kernel rival whose features depend on the token and its place alone.

    Raises:
        ValueError: attention that has no sums to keep, or whose features look beyond their own token.
    """
    if isinstance(mechanism, KernelRival):
        return CausalRival(mechanism)
    if not isinstance(mechanism, LinearAttention) or mechanism.gate is not None:
        raise ValueError(_refusal(mechanism))
    return CausalAttention(mechanism.feature_map, fixation=mechanism.fixation)


def _refusal(mechanism: Mechanism) -> str:
    """Say why an attention function does not stream, and which do."""
    reason = getattr(mechanism, "not_streaming", "its map is not made of sums over keys that could be kept")
    if mechanism.gate is not None:
        reason = "its gate is a control for whole clips"
    names = ", ".join(n for n, rival in RIVALS.items() if issubclass(rival, KernelRival) and not rival.not_streaming)
    return f"{type(mechanism).__name__} does not stream here: {reason}; use linear (without a gate), or one of {names}"
