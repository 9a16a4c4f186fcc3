"""DW-ViT: heads in windows of several sizes, whose outputs a gate then weighs against each other."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from linvid_edu.attention.mechanisms import AttentionInputs
from linvid_edu.shapes import Extent, Float

from .base import Facts, Rival, Setting, whole_map
from .windows import bias_index, check_grid, one_frame, window_bias, windowed_softmax

APART = -100.0  # added between tokens of different bands that a shift brought into one window
_CUT = "b heads (y i) (x j) d -> b y x heads (i j) d"


def dynamic_window_attention(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d2"],
    relative_bias: Float[Tensor, "*table"],
    h: int,
    w: int,
    windows: Sequence[int],
    shifts: Sequence[int],
) -> Float[Tensor, "b heads n d2"]:
    """Attend within windows of one frame, each group of heads in windows of its own size.

    out = softmax(q kᵀ / √d + bias) v inside each window; group g of the heads has windows of side windows[g]

    2·N·s²·d multiplications and N·s² numbers at once for a head with windows of side s. The frame is padded at the
    bottom and right with zeros to whole windows, and padded keys are not masked: they score the bias alone and carry v
    = 0, so rows of such windows sum to less than 1; all others sum to 1. No weight is negative.

    Args:
        q, k, v: one frame's tokens, row by row; the heads are cut into len(windows) groups that follow each other.
        relative_bias: tables of all windows one below another, (Σ (2s − 1)², heads of a group), by query − key.
        h, w: rows and columns of the frame.
        windows: side of each group's windows, at least 1.
        shifts: for each group, by how many tokens windows are moved down and right, 0 to its side − 1. Tokens that only
            the wrap brought together get −100 added to their score.

    Raises:
        ValueError: a grid that does not hold the tokens, heads that do not split, shifts or a bias that do not fit.

    Source: Beyond Fixation: Dynamic Window Visual Transformer, 2022, arXiv 2203.12856. The released file does not parse
    and moves the bias to a GPU; its numbers are these.
    """
    out = []
    for part, side, shift, table in _groups(q, relative_bias, h, w, windows, shifts):
        cut_q, cut_k, cut_v = (_cut(x[:, part], h, w, side, shift) for x in (q, k, v))
        bias = window_bias(table, side) + _between_bands(h, w, side, shift).to(q)
        attended = windowed_softmax(cut_q, cut_k, cut_v, bias)
        attended = rearrange(attended, "b y x heads (i j) d -> b heads (y i) (x j) d", i=side)
        attended = attended.roll((shift, shift), dims=(2, 3))[:, :, :h, :w]
        out.append(rearrange(attended, "b heads h w d -> b heads (h w) d"))
    return torch.cat(out, dim=1)


def _groups(
    q: Tensor, relative_bias: Tensor, h: int, w: int, windows: Sequence[int], shifts: Sequence[int]
) -> Iterator[tuple[slice, int, int, Tensor]]:
    """Yield the heads, the window's side, the shift and the bias table of each group; refuse what does not fit."""
    check_grid(q.shape[-2], h, w)
    heads, count = q.shape[1], len(windows)
    if not count or heads % count:
        raise ValueError(f"{heads} heads cannot be cut into {count} equal groups: pass as many windows as divide them")
    if min(windows) < 1:
        raise ValueError(f"windows={list(windows)}: each side must be at least 1")
    if len(shifts) != count or any(not 0 <= shift < side for shift, side in zip(shifts, windows, strict=False)):
        raise ValueError(
            f"shifts={list(shifts)} of windows={list(windows)}: pass one for each window, from 0 to its side − 1"
        )
    sizes = [(2 * side - 1) ** 2 for side in windows]
    if relative_bias.shape != (sum(sizes), heads // count):
        raise ValueError(
            f"relative_bias has shape {tuple(relative_bias.shape)}: windows={list(windows)} and {heads} heads need "
            f"({sum(sizes)}, {heads // count})"
        )
    each = heads // count
    for group, (side, shift, table) in enumerate(zip(windows, shifts, relative_bias.split(sizes), strict=True)):
        yield slice(group * each, (group + 1) * each), side, shift, table


def _cut(
    x: Float[Tensor, "b heads n d"], h: int, w: int, side: int, shift: int
) -> Float[Tensor, "b y x heads places d"]:
    """Pad one frame to whole windows, move it, and cut it."""
    frame = rearrange(x, "b heads (h w) d -> b heads h w d", h=h)
    frame = F.pad(frame, (0, 0, 0, -w % side, 0, -h % side)).roll((-shift, -shift), dims=(2, 3))
    return rearrange(frame, _CUT, i=side, j=side)


def _between_bands(h: int, w: int, side: int, shift: int) -> Float[Tensor, "y x one s s"]:
    """Return −100 between tokens that the wrap brought together, 0 elsewhere; bands are those of the padded frame."""
    bands = [_bands(size + -size % side, side, shift) for size in (h, w)]
    band = (3 * bands[0][:, None] + bands[1][None, :])[None, None, :, :, None]
    band = rearrange(band, _CUT, i=side, j=side).squeeze(-1)  # (1 y x 1 s)
    return APART * (band.unsqueeze(-1) != band.unsqueeze(-2))[0].double()


def _bands(size: int, side: int, shift: int) -> Tensor:
    """Number the bands of an axis that was moved: before size − side, before size − shift, the rest."""
    place = torch.arange(size)
    return (place >= size - side).long() + (place >= size - shift).long() if shift else torch.zeros(size).long()


def dynamic_window_attention_map(
    q: Tensor, k: Tensor, relative_bias: Tensor, h: int, w: int, windows: Sequence[int], shifts: Sequence[int]
) -> Float[Tensor, "b heads n n"]:
    """Return the explicit map of ``dynamic_window_attention``: scores of all pairs of the padded frame, −∞ between
    windows, softmax, and then the columns of padding dropped."""
    maps = []
    for part, side, shift, table in _groups(q, relative_bias, h, w, windows, shifts):
        high, wide = h + -h % side, w + -w % side
        padded_q, padded_k = (
            F.pad(x[:, part].unflatten(2, (h, w)), (0, 0, 0, wide - w, 0, high - h)).flatten(2, 3) for x in (q, k)
        )
        rows, columns = torch.cartesian_prod(torch.arange(high), torch.arange(wide)).unbind(-1)
        y, x = (rows - shift) % high, (columns - shift) % wide  # where each token stands after the move
        window = (y // side) * (wide // side) + x // side
        place = (y % side) * side + x % side
        band = 3 * _bands(high, side, shift)[y] + _bands(wide, side, shift)[x]
        scores = padded_q @ padded_k.mT / q.shape[-1] ** 0.5
        scores = scores + table[bias_index(side)[place[:, None], place[None, :]]].permute(2, 0, 1)
        scores = scores + APART * (band[:, None] != band[None, :]).to(scores)
        scores = scores.masked_fill((window[:, None] != window[None, :]).to(q.device), -torch.inf)
        real = ((rows < h) & (columns < w)).to(q.device)
        maps.append(scores.softmax(dim=-1)[:, :, real][:, :, :, real])
    return torch.cat(maps, dim=1)


def dynamic_window_attention_oracle(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    relative_bias: Tensor,
    h: int,
    w: int,
    windows: Sequence[int],
    shifts: Sequence[int],
) -> Tensor:
    """Compute ``dynamic_window_attention`` the long way, through its explicit map."""
    return dynamic_window_attention_map(q, k, relative_bias, h, w, windows, shifts) @ v


def dynamic_window(
    x: Float[Tensor, "b n c"],
    qkv_weight: Float[Tensor, "c3 c"],
    qkv_bias: Float[Tensor, "c3"],
    relative_bias: Float[Tensor, "*table"],
    mix_weight: Float[Tensor, "c c"],
    mix_bias: Float[Tensor, "c"],
    squeeze_weight: Float[Tensor, "s c"],
    squeeze_bias: Float[Tensor, "s"],
    excite_weight: Float[Tensor, "excited s"],
    excite_bias: Float[Tensor, "excited"],
    head_weight: Float[Tensor, "c branch"],
    head_bias: Float[Tensor, "c"],
    h: int,
    w: int,
    windows: Sequence[int],
    shifts: Sequence[int],
    heads: int,
) -> Float[Tensor, "b n c"]:
    """Compute the whole layer: project, attend in windows of several sizes, and weigh these branches by a gate.

    y = dynamic_window_attention(q, k, v) with heads merged, y_g its channels of group g; m = mix(y);
    z = GELU(squeeze(mean over tokens of GELU(m))); gate = softmax over g of excite(z); out = m + head(Σ_g gate_g ∘ y_g)

    One gate serves all tokens of a frame: the gate is dynamic, the windows are not. It is no drop-in for q, k, v, and
    as the gate reads the output, there is no map. N·c·(4·c + c/G + 2·s²) multiplications for G windows of side s, and
    about N·(5·c + heads·s²) numbers at once.

    Args:
        x: one frame's tokens, row by row, c channels.
        qkv_weight, qkv_bias: to q, k and v, one below another; weights are (out, in).
        relative_bias, h, w, windows, shifts: as for ``dynamic_window_attention``.
        mix_weight, mix_bias, squeeze_weight, squeeze_bias, excite_weight, excite_bias, head_weight, head_bias: of the
            fusion; squeeze has any width, ⌊c / (2·groups)⌋ in the paper; excite has a row for each branch and channel;
            head takes the c / groups channels of a branch to c.
        heads: must divide c, and be a multiple of the number of windows.

    Raises:
        ValueError: heads that do not divide c, or as for ``dynamic_window_attention``.

    Source: arXiv 2203.12856. Differs from the paper as the released code does: the gated sum takes y, not m.
    """
    if heads < 1 or x.shape[-1] % heads:
        raise ValueError(f"heads={heads} do not divide {x.shape[-1]} channels: choose a divisor")
    if len(excite_weight) != x.shape[-1]:
        raise ValueError(
            f"excite_weight makes {len(excite_weight)} weights for {x.shape[-1]} channels: make one for each"
        )
    qkv = F.linear(x, qkv_weight, qkv_bias)
    q, k, v = rearrange(qkv, "b n (three heads d) -> three b heads n d", three=3, heads=heads)
    y = dynamic_window_attention(q, k, v, relative_bias, h, w, windows, shifts)
    y = rearrange(y, "b heads n d -> b n (heads d)")
    mixed = F.linear(y, mix_weight, mix_bias)
    z = F.gelu(F.linear(F.gelu(mixed).mean(dim=1), squeeze_weight, squeeze_bias))
    gate = rearrange(F.linear(z, excite_weight, excite_bias), "b (g c) -> b 1 g c", g=len(windows)).softmax(dim=2)
    branches = rearrange(y, "b n (g c) -> b n g c", g=len(windows))
    return mixed + F.linear((gate * branches).sum(dim=2), head_weight, head_bias)


def dynamic_window_oracle(
    x: Tensor,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    relative_bias: Tensor,
    mix_weight: Tensor,
    mix_bias: Tensor,
    squeeze_weight: Tensor,
    squeeze_bias: Tensor,
    excite_weight: Tensor,
    excite_bias: Tensor,
    head_weight: Tensor,
    head_bias: Tensor,
    h: int,
    w: int,
    windows: Sequence[int],
    shifts: Sequence[int],
    heads: int,
) -> Tensor:
    """Compute ``dynamic_window`` the long way, one frame and one branch at a time, through the explicit map."""
    frames = []
    for tokens in x:  # (n c)
        channels, groups = tokens.shape[-1], len(windows)
        q, k, v = (tokens @ qkv_weight.mT + qkv_bias).split(channels, dim=-1)
        q, k, v = (torch.stack(part.split(channels // heads, dim=-1)).unsqueeze(0) for part in (q, k, v))
        attended = dynamic_window_attention_map(q, k, relative_bias, h, w, windows, shifts) @ v
        y = torch.cat(list(attended[0]), dim=-1)
        mixed = y @ mix_weight.mT + mix_bias
        z = F.gelu(squeeze_weight @ F.gelu(mixed).mean(dim=0) + squeeze_bias)
        excited = torch.stack((excite_weight @ z + excite_bias).split(channels // groups)).exp()
        gate = excited / excited.sum(dim=0)
        blended = sum(gate[g] * part for g, part in enumerate(y.split(channels // groups, dim=-1)))
        frames.append(mixed + blended @ head_weight.mT + head_bias)
    return torch.stack(frames)


class DynamicWindowAttention(Rival):
    """``dynamic_window_attention`` as a layer: windows stand still in even blocks and move by half in odd blocks.

    As published, a window that is not smaller than the frame's smaller side becomes that side and stands still.
    Attention over time has no frame to cut: its few tokens, one a frame, are one window.

    Args:
        setting: where it stands.
        windows: side of each group's windows; their number must divide the number of heads.

    Raises:
        ValueError: heads that do not split, or joint attention over several frames.
    """

    facts = Facts(
        "Beyond Fixation: Dynamic Window Visual Transformer",
        2022,
        "2203.12856",
        rows="1, less where a window holds padding",
        signs="never negative",
        rank="N",
        operations="2·N·s²·d",
        memory="N·s²",
        sees="windows of several sizes; never the whole frame",
    )
    function: ClassVar[Any] = staticmethod(dynamic_window_attention)

    def __init__(self, setting: Setting, *, windows: Sequence[int] = (2, 4)):
        super().__init__(setting)
        one_frame(setting)
        _, h, w = setting.extent
        if not windows or min(windows) < 1:
            raise ValueError(f"windows={list(windows)}: pass at least one side, each at least 1")
        self.windows = [min(side, h, w) for side in windows]
        self.shifts = [side // 2 if setting.block % 2 and side < min(h, w) else 0 for side in self.windows]
        self.over_time = setting.span == "time"
        if self.over_time:
            return
        rows = sum((2 * side - 1) ** 2 for side in self.windows)
        self.relative_bias = nn.Parameter(torch.zeros(rows, setting.heads // len(windows)))
        q = torch.empty(1, setting.heads, h * w, 1)
        list(_groups(q, self.relative_bias, h, w, self.windows, self.shifts))  # refuses what does not fit

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return the whole map beside the identity; over time, queries and keys of softmax attention."""
        if self.over_time:
            return AttentionInputs(q, k, similarity="softmax")
        identity = torch.eye(q.shape[-2], dtype=v.dtype, device=v.device).expand(*v.shape[:-1], -1)
        return whole_map(self.forward(q, k, identity, extent))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values."""
        if self.over_time:
            return F.scaled_dot_product_attention(q, k, v)
        _, h, w = extent or Extent(1, 1, q.shape[-2])
        return dynamic_window_attention(q, k, v, self.relative_bias, h, w, self.windows, self.shifts)
