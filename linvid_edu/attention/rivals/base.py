"""Base classes for rivals as layers of a model: the place of a rival, facts about it, and how fixation applies to it.

Every rival is a pure function. ``Rival`` wraps it as a layer that replaces softmax attention, and ``KernelRival`` does
so for functions of features φ(q), φ(k), which fixation can reweight. To add a rival, write one file and import its
names in ``__init__.py``.
"""

from collections.abc import Callable
from inspect import unwrap
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from linvid_edu.attention.causal_sums import Passed, State, causal_step
from linvid_edu.attention.feature_maps import FeatureMap
from linvid_edu.attention.fixation import Fixation
from linvid_edu.attention.functions import EPS, weighted_sums
from linvid_edu.attention.mechanisms import AttentionInputs, Mechanism, fixate
from linvid_edu.attention.spans import Span
from linvid_edu.shapes import Extent, Float


class Setting(NamedTuple):
    """The place of a rival in a model.

    heads: number of attention heads
    head_width: d, the channels of a head
    span: which tokens attend to each other
    extent: frames, rows and columns of these tokens, for clips of the size that the model is configured for
    block: index of the block, from 0; some rivals alternate from block to block
    make_fixation: function that makes the fixation layers for a given number of features; None means no fixation
    """

    heads: int
    head_width: int
    span: Span
    extent: Extent
    block: int = 0
    make_fixation: Callable[[int], Fixation] | None = None


class Facts(NamedTuple):
    """What is known about a rival, for one head with N tokens of d channels.

    The formulas use f for features, m for landmarks and "side" for the side of a window.

    title, year, arxiv: the paper
    rows: sum of each row of the map, in words
    signs: whether a weight of the map may be negative
    rank: upper bound of the rank of the map
    operations: number of multiplications
    memory: number of values kept in memory at the same time, not counting q, k, v and the output
    sees: what determines the tokens that a query attends to
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
    """A published attention function as a layer, in place of softmax attention.

    A subclass sets ``facts`` and ``function``. It takes a ``Setting`` and its own constants by keyword, raises
    ValueError if they do not fit together, and returns the two factors of its map from ``attention_inputs``. Defining
    the subclass adds it to the table ``RIVALS`` under the name of its function.

    Args:
        setting: Place in the model.
    """

    facts: ClassVar[Facts]
    function: ClassVar[Any]  # a static method of q, k, v and constants

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "function" in cls.__dict__:
            RIVALS[cls.function.__name__] = cls

    def __init__(self, setting: Setting):
        super().__init__()

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """Return the constants that this rival takes by keyword, with their defaults."""
        return unwrap(cls.__init__).__kwdefaults__ or {}


RIVALS: dict[str, type[Rival]] = {}


class Products(NamedTuple):
    """The features and the normalizer of a kernel method, whose numerator and normalizer may use different features.

    out_i = φ_i · Σ_j φ_j v_jᵀ / z_i, with z_i = max(ψ_i · Σ_j ψ_j + eps, floor)

    phi_q, phi_k: φ, features in the numerator
    weigh_q, weigh_k: ψ, features in the normalizer; None means φ
    eps: number added to the normalizer
    floor: smallest value that the normalizer may have
    """

    phi_q: Tensor
    phi_k: Tensor
    weigh_q: Tensor | None = None
    weigh_k: Tensor | None = None
    eps: int | float = EPS
    floor: int | float = 0.0

    def normalizer(self) -> Float[Tensor, "*batch n 1"]:
        """Return z for each query, in O((n + m)·f)."""
        psi_q = self.phi_q if self.weigh_q is None else self.weigh_q
        psi_k = self.phi_k if self.weigh_k is None else self.weigh_k
        z = (psi_q * psi_k.sum(dim=-2, keepdim=True)).sum(dim=-1, keepdim=True) + self.eps
        return z.clamp(min=self.floor) if self.floor else z

    def attend(self, v: Float[Tensor, "*batch m d_v"]) -> Float[Tensor, "*batch n d_v"]:
        """Return the attended values without building the map, in O((n + m)·f·d_v)."""
        return weighted_sums(self.phi_q, self.phi_k, v) * (1 / self.normalizer())

    def factors(self) -> tuple[Float[Tensor, "*batch n f"], Float[Tensor, "*batch m f"]]:
        """Return A and B with A Bᵀ = map; A contains the normalizer."""
        return self.phi_q / self.normalizer(), self.phi_k

    def map(self) -> Float[Tensor, "*batch n m"]:
        """Return the explicit map, in O(n·m·f)."""
        left, right = self.factors()
        return left @ right.mT


class KernelRival(Rival):
    """A rival with features φ(q), φ(k), which fixation reweights before they are multiplied.

    φ(q) ← r_q ∘ φ(q), φ(k) ← r_k ∘ φ(k), then the products of the rival

    If the features of a token depend on later tokens, ``not_streaming`` says why. Otherwise it is empty, and a stream
    can keep sums of features.

    Args:
        setting: Place in the model.
        features: Number of features of a query or key.

    Source: the combination with fixation is an addition.
    """

    not_streaming: str = ""

    def __init__(self, setting: Setting, *, features: int):
        super().__init__(setting)
        self.fixation = None if setting.make_fixation is None else setting.make_fixation(features)

    def features(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ(q) and φ(k)."""
        raise NotImplementedError

    def products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent) -> Products:
        """Return the factors of numerator and normalizer for features that fixation may have reweighted."""
        return Products(phi_q, phi_k)

    def stream_products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent, seen: int) -> Products:
        """Return the products of the block of a stream that comes after ``seen`` earlier tokens."""
        return self.products(phi_q, phi_k, extent)

    def stream(
        self, q: Tensor, k: Tensor, v: Tensor, extent: Extent, state: State | None, seen: int
    ) -> tuple[Passed, State]:
        """Attend to a block of tokens and to all tokens before it."""
        fixated = fixate(self.fixation, *self.features(q, k), v)
        products = self.stream_products(fixated.q, fixated.k, extent, seen)
        passed, state = causal_step(
            products.phi_q,
            products.phi_k,
            v,
            state,
            psi_q=products.weigh_q,
            psi_k=products.weigh_k,
            eps=products.eps,
            floor=products.floor,
        )
        return passed._replace(ratios=fixated.ratios), state

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return the factors of the map, and the fixation ratios."""
        fixated = fixate(self.fixation, *self.features(q, k), v)
        factors = self.products(fixated.q, fixated.k, extent or one_token_per_frame(q)).factors()
        return AttentionInputs(*factors, fixated.ratios, "product")

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values."""
        fixated = fixate(self.fixation, *self.features(q, k), v)
        return self.products(fixated.q, fixated.k, extent or one_token_per_frame(q)).attend(v)


class FeatureMapRival(KernelRival):
    """A rival that is linear attention with another feature map.

    Args:
        setting: Place in the model.
        eps: Number added to the normalizer; None means the published value.
    """

    feature_map: ClassVar[Any]  # a FeatureMap as a static method
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


def one_token_per_frame(q: Tensor) -> Extent:
    """Return the extent of tokens whose arrangement is unknown: frames of one token each."""
    return Extent(q.shape[-2], 1, 1)


def identity_values(v: Tensor) -> Float[Tensor, "*batch n n"]:
    """Return the identity as values: attention to them returns the map itself."""
    n = v.shape[-2]
    return torch.eye(n, dtype=v.dtype, device=v.device).expand(*v.shape[:-2], n, n)


def whole_map(weights: Float[Tensor, "*batch n m"]) -> AttentionInputs:
    """Return a map without thin factors as the product of itself and the identity: O(n·m)."""
    return AttentionInputs(weights, identity_values(weights.mT), similarity="product")
