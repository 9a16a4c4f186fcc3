"""What every rival shares as a layer of a model: what it is told, what is known about it, and how it meets fixation.

A rival is a pure function first. As a drop-in for softmax attention it is a ``Rival``, or a ``KernelRival`` where it
has features φ(q), φ(k), which fixation can reweight. One file and one import in ``__init__.py`` add another.
"""

from collections.abc import Callable
from inspect import unwrap
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from linvid_edu.attention.feature_maps import FeatureMap
from linvid_edu.attention.fixation import Fixation
from linvid_edu.attention.functions import EPS, feature_attention, normalizer
from linvid_edu.attention.mechanisms import AttentionInputs, Mechanism, fixate
from linvid_edu.attention.spans import Span
from linvid_edu.shapes import Extent, Float


class Setting(NamedTuple):
    """Where in a model a rival stands.

    heads: attention heads
    head_width: d, channels of a head
    span: which tokens attend to each other
    extent: frames, rows and columns of these tokens, for the clips that the model is made for
    block: counted from 0; some rivals alternate from block to block
    make_fixation: makes the layers that learn fixation ratios for so many features; None means no fixation
    """

    heads: int
    head_width: int
    span: Span
    extent: Extent
    block: int = 0
    make_fixation: Callable[[int], Fixation] | None = None


class Facts(NamedTuple):
    """What is known about a rival.

    title, year, arxiv: its paper
    rows: what the rows of its map sum to
    signs: whether a weight of its map may be negative
    rank: the most that its map can have
    operations: multiplications of one head, by N tokens of d channels; m features, L landmarks, s the side of a window
    memory: numbers that it keeps at once beside q, k, v and its output, for one head, in the same letters
    sees: what decides how far it looks, in a few words
    """

    title: str
    year: int
    arxiv: str
    rows: str
    signs: str
    rank: str
    operations: str
    memory: str
    sees: str


class Rival(Mechanism):
    """A published attention function in place of softmax attention.

    Its ``facts`` and its pure ``function``, whose name it goes by, belong to the class. A subclass takes a ``Setting``
    and its own constants by keyword, refuses what does not fit with a ValueError, and gives the two factors of its map
    in ``attention_inputs``.
    """

    facts: ClassVar[Facts]
    function: ClassVar[Any]  # a function of q, k, v and constants, as a static method

    def __init__(self, setting: Setting):
        super().__init__()

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """Return the constants that this rival takes by keyword, with their defaults."""
        return unwrap(cls.__init__).__kwdefaults__ or {}


class Products(NamedTuple):
    """Features and normalizer of a kernel method: the arguments of ``feature_attention``.

    phi_q, phi_k: in the numerator
    weigh_q, weigh_k: in the normalizer; None means the same
    eps, floor: of the normalizer
    """

    phi_q: Tensor
    phi_k: Tensor
    weigh_q: Tensor | None = None
    weigh_k: Tensor | None = None
    eps: int | float = EPS
    floor: int | float = 0.0

    def attend(self, v: Float[Tensor, "*batch m d_v"]) -> Float[Tensor, "*batch n d_v"]:
        """Return the attended values without building a map."""
        weigh = {"weigh_q": self.weigh_q, "weigh_k": self.weigh_k}
        return feature_attention(self.phi_q, self.phi_k, v, **weigh, eps=self.eps, floor=self.floor)

    def factors(self) -> tuple[Float[Tensor, "*batch n f"], Float[Tensor, "*batch m f"]]:
        """Return A and B, whose product A Bᵀ is the map: the normalizer is taken into A."""
        weigh_q = self.phi_q if self.weigh_q is None else self.weigh_q
        weigh_k = self.phi_k if self.weigh_k is None else self.weigh_k
        return self.phi_q / normalizer(weigh_q, weigh_k, eps=self.eps, floor=self.floor), self.phi_k

    def map(self) -> Float[Tensor, "*batch n m"]:
        """Return the explicit map, in O(n·m·f)."""
        left, right = self.factors()
        return left @ right.mT


class KernelRival(Rival):
    """A rival with features φ(q), φ(k): apply them, then fixation where there is one, then the products.

    φ(q) ← r_q ∘ φ(q), φ(k) ← r_k ∘ φ(k), then what the rival makes of its features

    ``not_streaming`` says why features of a token change with what comes later; "" where they do not, so that a stream
    can keep sums over them.

    Args:
        setting: where it stands.
        features: f, channels of φ(q) and φ(k).

    Source: the composition with fixation is an addition.
    """

    not_streaming: ClassVar[str] = ""

    def __init__(self, setting: Setting, *, features: int):
        super().__init__(setting)
        self.fixation = None if setting.make_fixation is None else setting.make_fixation(features)

    def features(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ(q) and φ(k)."""
        raise NotImplementedError

    def products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent) -> Products:
        """Return what is multiplied, from features that fixation may have reweighted."""
        return Products(phi_q, phi_k)

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return the factors of the map, and the ratios."""
        fixated = fixate(self.fixation, *self.features(q, k), v)
        factors = self.products(fixated.q, fixated.k, extent or _line(q)).factors()
        return AttentionInputs(*factors, fixated.ratios, "product")

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values."""
        fixated = fixate(self.fixation, *self.features(q, k), v)
        return self.products(fixated.q, fixated.k, extent or _line(q)).attend(v)


class FeatureMapRival(KernelRival):
    """A rival that is linear attention with another φ, of as many channels as it likes, and nothing else.

    Args:
        setting: where it stands.
        eps: added to the normalizer; None means the published value.
    """

    feature_map: ClassVar[Any]  # a FeatureMap, as a static method
    published_eps: ClassVar[float]

    def __init__(self, setting: Setting, *, eps: int | float | None = None):
        super().__init__(setting, features=self.feature_map(torch.zeros(1, setting.head_width)).shape[-1])
        self.eps = self.published_eps if eps is None else eps

    def features(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ(q) and φ(k)."""
        phi: FeatureMap = self.feature_map
        return phi(q), phi(k)

    def products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent) -> Products:
        """Return the features with the eps of this rival."""
        return Products(phi_q, phi_k, eps=self.eps)


def whole_map(weights: Float[Tensor, "*batch n m"]) -> AttentionInputs:
    """Return a map that is no product of thin factors as its own factor, beside the identity: O(n·m)."""
    identity = torch.eye(weights.shape[-1], dtype=weights.dtype, device=weights.device)
    return AttentionInputs(weights, identity.expand(*weights.shape[:-2], -1, -1), similarity="product")


def _line(q: Tensor) -> Extent:
    """Tokens of which nobody said how they lie are frames of one token each."""
    return Extent(q.shape[-2], 1, 1)
