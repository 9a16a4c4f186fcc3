"""Quirks of the rivals without features, of windows, queries and the feed-forward; see ``quirks_kernels.py``.

Weights that a layer would learn are drawn: Gaussian, divided by the root of how many inputs they weigh.
"""

import torch
from einops import rearrange
from quirks_kernels import FRAME, FRAMES, Row, change, merged
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.attention import rivals

LANDMARKS = 16


class Draw:
    """Random weights, the same on every call."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, *shape: int, inputs: int = 1) -> Tensor:
        """Return weights of this shape for so many inputs."""
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64) / inputs**0.5


def nystrom(clips: list[tuple[Tensor, Tensor, Tensor]]) -> list[Row]:
    """Measure what clips beside each other do to each other, what heads do, and how far rows are from 1."""
    together = [torch.cat(parts) for parts in zip(*clips, strict=True)]
    coupled = {}
    for init in ("original", "exact"):
        alone = torch.cat([rivals.nystrom(*clip, LANDMARKS, init=init) for clip in clips])
        coupled[init] = change(alone, rivals.nystrom(*together, LANDMARKS, init=init))
    q, k, v = clips[0]
    exact, original = (rivals.nystrom(q, k, v, LANDMARKS, init=init) for init in ("exact", "original"))
    sums = rivals.nystrom_map(q, k, LANDMARKS).sum(dim=-1)
    return [
        Row("nystrom", 'init "original": two clips together, not alone', coupled["original"]),
        Row("nystrom", 'init "exact": two clips together, not alone', coupled["exact"]),
        Row("nystrom", 'init "original", not "exact", one clip', change(exact, original)),
        Row("nystrom", "least sum of a row after 6 iterations", sums.min().item(), "sum"),
        Row("nystrom", "greatest sum of a row after 6 iterations", sums.max().item(), "sum"),
    ]


def orthoformer(q: Tensor, k: Tensor, v: Tensor) -> list[Row]:
    """Measure which tokens may be landmarks, whether they learn, which comes first, and what mixing two sets does."""
    first = torch.zeros(1, q.shape[1], dtype=torch.long)
    index = rivals.orthoformer_landmarks(q, first, LANDMARKS)
    pool = torch.cat([q, k], dim=2)
    either = rivals.orthoformer_landmarks(pool, first, LANDMARKS)
    released = rivals.orthoformer(q, k, v, index)
    with_keys = through(q, k, v, pool.take_along_dim(either.unsqueeze(-1), dim=2))
    last = rivals.orthoformer_landmarks(q, first + q.shape[2] - 1, LANDMARKS)
    learning = q.clone().requires_grad_()
    attached = through(learning, k, v, learning.take_along_dim(index.unsqueeze(-1), dim=2))
    constant = rivals.orthoformer(learning, k, v, index)
    gradients = [torch.autograd.grad(out.square().mean(), learning)[0] for out in (attached, constant)]
    return [
        Row("orthoformer", "queries alone may be landmarks, not keys too", change(with_keys, released)),
        Row("orthoformer", "landmarks that would be keys", (either >= q.shape[2]).double().mean().item(), "share"),
        Row("orthoformer", "gradient of q with landmarks constant, not learned", change(*gradients)),
        Row(
            "orthoformer",
            "the last token as first landmark, not token 0",
            change(released, rivals.orthoformer(q, k, v, last)),
        ),
        Row("orthoformer", "landmarks of two frames mixed, not one frame's in both factors", change(*mixed(q, k, v))),
    ]


def through(q: Tensor, k: Tensor, v: Tensor, landmarks: Tensor) -> Tensor:
    """Attend from queries to these landmarks, and from them to keys."""
    scale = q.shape[-1] ** -0.5
    return (q @ landmarks.mT * scale).softmax(dim=-1) @ ((landmarks @ k.mT * scale).softmax(dim=-1) @ v)


def mixed(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return Orthoformer by frame with own landmarks: those of the key's frame in both factors, and as released."""
    frames = rearrange(q, "1 heads (t n) d -> t heads n d", t=FRAMES.t)
    own = rivals.orthoformer_landmarks(frames, torch.zeros(frames.shape[:2], dtype=torch.long), LANDMARKS)
    chosen = frames.take_along_dim(own.unsqueeze(-1), dim=2).split(1)
    parts = zip(*(x.split(FRAME, dim=2) for x in (k, v)), chosen, strict=True)
    plain = torch.stack([through(q, *part) for part in parts], dim=3)
    index = rearrange(own, "t heads landmarks -> 1 heads t landmarks")
    return plain, rivals.orthoformer_frames(q, k, v, index, FRAMES.t, shared_landmarks=False)


def sana_video_mixffn(x: Tensor) -> list[Row]:
    """Measure the temporal convolution: zero at the start, and two-sided."""
    draw, c = Draw(), x.shape[-1]
    m = 3 * c
    weights = [draw(2 * m, c, inputs=c), draw(2 * m), draw(2 * m, 3, 3, inputs=9), draw(2 * m), draw(c, m, inputs=m)]
    temporal = draw(c, c, 3, inputs=3 * c)
    past = temporal * torch.tensor([1.0, 1.0, 0.0], dtype=x.dtype)
    both, causal, started = (
        rivals.sana_video_mixffn(x, *weights, taps, *FRAMES) for taps in (temporal, past, 0 * temporal)
    )
    return [
        Row("sana_video_mixffn", "temporal weights 0 as at the start, not drawn", change(both, started)),
        Row("sana_video_mixffn", "the next frame is read, not zeros", change(causal, both)),
    ]


def dynamic_window(q: Tensor, k: Tensor, v: Tensor) -> list[Row]:
    """Measure padding, in frames of 6 rows and windows of side 4, and what the gate is multiplied with."""
    side, table = 4, torch.zeros(49, q.shape[1], dtype=q.dtype)
    frames = [rearrange(x, "1 heads (t h w) d -> t heads h w d", t=FRAMES.t, h=FRAMES.h) for x in (q, k, v)]
    six = [rearrange(x[:, :, :6], "t heads h w d -> t heads (h w) d") for x in frames]
    weights = rivals.dynamic_window_attention_map(*six[:2], table, 6, FRAMES.w, [side], [0])
    padded = rivals.dynamic_window_attention(*six, table, 6, FRAMES.w, [side], [0])
    masked = weights / weights.sum(dim=-1, keepdim=True) @ six[2]
    return [
        Row("dynamic_window", "padded keys not masked, 6 rows in windows of 4", change(masked, padded)),
        Row("dynamic_window", "least sum of a row with padded keys", weights.sum(dim=-1).min().item(), "sum"),
        Row(
            "dynamic_window",
            "the gate weighs the branches of y, not of m",
            change(*gated(rearrange(merged(q), "1 (t n) c -> t n c", t=FRAMES.t))),
        ),
    ]


def gated(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return DW-ViT's layer with the gate on the mixed branches, and as released."""
    draw, c, heads, windows = Draw(), x.shape[-1], 4, [2, 4]
    qkv = [draw(3 * c, c, inputs=c), draw(3 * c)]
    table = torch.zeros(9 + 49, heads // 2, dtype=x.dtype)
    mix, squeeze, excite, head = (
        [draw(out, inputs, inputs=inputs), draw(out)] for out, inputs in ((c, c), (c // 4, c), (c, c // 4), (c, c // 2))
    )
    grid = [FRAMES.h, FRAMES.w, windows, [0, 0]]
    released = rivals.dynamic_window(x, *qkv, table, *mix, *squeeze, *excite, *head, *grid, heads)
    q, k, v = rearrange(F.linear(x, *qkv), "b n (three heads d) -> three b heads n d", three=3, heads=heads)
    m = F.linear(merged(rivals.dynamic_window_attention(q, k, v, table, *grid)), *mix)
    gate = F.linear(F.gelu(F.linear(F.gelu(m).mean(dim=1, keepdim=True), *squeeze)), *excite)
    gate, branches = (rearrange(part, "b n (g c) -> b n g c", g=len(windows)) for part in (gate, m))
    return m + F.linear((gate.softmax(dim=2) * branches).sum(dim=2), *head), released


def shuffle_window() -> list[Row]:
    """Measure how far down a token looks whose bias prefers the place below."""
    q, table = torch.zeros(1, 1, FRAME, 1), torch.zeros(49, 1)
    table[2 * 7 + 3] = 50.0  # query one above key, same column
    weights = rivals.shuffle_window_map(q, q, table, FRAMES.h, FRAMES.w, 4, shuffle=True)
    rows = weights[0, 0, 0].argmax().item() // FRAMES.w
    return [Row("shuffle_window", "rows that one step of the bias stands for, windows of 4 shuffled", rows, "rows")]


def faq(x: Tensor) -> list[Row]:
    """Measure free weights of dynamic queries, and picks that repeat a query."""
    draw, c, ratio = Draw(), x.shape[-1], 4
    base, mlp = draw(32, 2 * c), [draw(c, c, inputs=c), draw(c), draw(32, c, inputs=c), draw(32)]
    frames = rearrange(x, "1 (t n) c -> t n c", t=FRAMES.t)
    free = rivals.faq_dynamic_queries(frames, base, *mlp, ratio)
    weights = F.linear(F.relu(F.linear(frames.amax(dim=1), *mlp[:2])), *mlp[2:]).unflatten(-1, (-1, ratio))
    averaged = torch.einsum("fir,ird->fid", weights.softmax(dim=-1), base.unflatten(0, (-1, ratio)))
    query, others = x[:, :FRAME], x[:, FRAME:]
    logits, top_k = F.linear(others, draw(30, c, inputs=c)), 80 * (FRAMES.t - 1)
    picked = logits.flatten(1).topk(top_k).indices // logits.shape[2]
    distinct = len(picked.unique())
    norm = [torch.ones(c, dtype=x.dtype), torch.zeros(c, dtype=x.dtype)]
    layers = [
        each
        for sizes in (((3 * c, c), (c, c)), ((3 * c, c), (c, c)), ((4 * c, c), (c, 4 * c)))
        for each in [part for out, inputs in sizes for part in (draw(out, inputs, inputs=inputs), draw(out))] + norm
    ]
    released = rivals.faq_query_aggregation(query, others, logits, *layers, heads=4, top_k=top_k)
    best = logits.amax(dim=2, keepdim=True)  # the same queries, each for its best class alone
    once = rivals.faq_query_aggregation(query, others, best, *layers, heads=4, top_k=distinct)
    return [
        Row("faq_dynamic_queries", "free weights, not their softmax", change(averaged, free)),
        Row("faq_dynamic_queries", "free weights below 0", (weights < 0).double().mean().item(), "share of weights"),
        Row("faq_query_aggregation", "a query picked for each class, not once", change(once, released)),
        Row(
            "faq_query_aggregation",
            "picks that repeat a query, top 560 of 448 × 30 pairs",
            1 - distinct / top_k,
            "share",
        ),
    ]


def measure(clips: list[tuple[Tensor, Tensor, Tensor]]) -> list[Row]:
    """Return every row of these rivals, for the first clip; the second one is what Nyströmformer is beside."""
    q, k, v = clips[0]
    x = merged(q)
    rows = [
        nystrom(clips),
        orthoformer(q, k, v),
        sana_video_mixffn(x),
        dynamic_window(q, k, v),
        shuffle_window(),
        faq(x),
    ]
    return [row for each in rows for row in each]
