"""Quirks of the rivals without features, of windows, queries and the feed-forward; see ``quirks_kernels.py``.

Learned weights are random: Gaussian, divided by the square root of the number of inputs.
"""

import torch
from einops import rearrange
from quirks_kernels import FRAME, FRAMES, Row, change, merged
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.attention import rivals
from linvid_edu.attention.rivals import AggregationWeights, AttentionWeights, DynamicWindowWeights, MixFFNWeights
from linvid_edu.attention.rivals.weights import DepthwiseWeights, LinearWeights, NormWeights

LANDMARKS = 16


class RandomWeights:
    """Random weights from seed 0, the same in every run."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, *shape: int, inputs: int = 1) -> Tensor:
        """Return weights of this shape for a number of inputs."""
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64) / inputs**0.5

    def linear(self, outputs: int, inputs: int) -> LinearWeights:
        """Return the weights of a linear layer."""
        return LinearWeights(self(outputs, inputs, inputs=inputs), self(outputs))


def nystrom(clips: list[tuple[Tensor, Tensor, Tensor]]) -> list[Row]:
    """Measure how clips of a batch and heads affect each other, and how far sums of rows are from 1."""
    together = [torch.cat(tensors) for tensors in zip(*clips, strict=True)]
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
    """Measure the candidates for landmarks, their gradient, the first one, and the mixture of two sets of landmarks."""
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
    """Attend from queries to these landmarks, and from the landmarks to keys."""
    scale = q.shape[-1] ** -0.5
    return (q @ landmarks.mT * scale).softmax(dim=-1) @ ((landmarks @ k.mT * scale).softmax(dim=-1) @ v)


def mixed(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return Orthoformer with landmarks for each frame: those of the key's frame in both factors, and as released."""
    frames = rearrange(q, "1 heads (t n) d -> t heads n d", t=FRAMES.t)
    own = rivals.orthoformer_landmarks(frames, torch.zeros(frames.shape[:2], dtype=torch.long), LANDMARKS)
    chosen = frames.take_along_dim(own.unsqueeze(-1), dim=2).split(1)
    frames_kv = zip(*(x.split(FRAME, dim=2) for x in (k, v)), chosen, strict=True)
    plain = torch.stack([through(q, *frame) for frame in frames_kv], dim=3)
    index = rearrange(own, "t heads landmarks -> 1 heads t landmarks")
    return plain, rivals.orthoformer_frames(q, k, v, index, FRAMES.t, shared_landmarks=False)


def sana_video_mixffn(x: Tensor) -> list[Row]:
    """Measure the temporal convolution, which is zero at the start and reads the next frame."""
    random, width = RandomWeights(), x.shape[-1]
    hidden = 3 * width
    expand = random.linear(2 * hidden, width)
    depthwise = DepthwiseWeights(random(2 * hidden, 3, 3, inputs=9), random(2 * hidden))
    project, temporal = random(width, hidden, inputs=hidden), random(width, width, 3, inputs=3 * width)
    past = temporal * torch.tensor([1.0, 1.0, 0.0], dtype=x.dtype)
    both, causal, started = (
        rivals.sana_video_mixffn(x, MixFFNWeights(expand, depthwise, project, taps), *FRAMES)
        for taps in (temporal, past, 0 * temporal)
    )
    return [
        Row("sana_video_mixffn", "temporal weights 0 as at the start, not drawn", change(both, started)),
        Row("sana_video_mixffn", "the next frame is read, not zeros", change(causal, both)),
    ]


def dynamic_window(q: Tensor, k: Tensor, v: Tensor) -> list[Row]:
    """Measure padding, in frames of 6 rows and windows of side 4, and which branches the gate multiplies."""
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
            change(*gated(rearrange(merged(q), "1 (t n) width -> t n width", t=FRAMES.t))),
        ),
    ]


def gated(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return DW-ViT's layer with the gate on the mixed branches, and as released."""
    random, width, heads, windows = RandomWeights(), x.shape[-1], 4, [2, 4]
    weights = DynamicWindowWeights(
        qkv=random.linear(3 * width, width),
        relative_bias=torch.zeros(9 + 49, heads // 2, dtype=x.dtype),
        mix=random.linear(width, width),
        squeeze=random.linear(width // 4, width),
        excite=random.linear(width, width // 4),
        head=random.linear(width, width // 2),
    )
    grid = (FRAMES.h, FRAMES.w, windows, [0, 0])
    released = rivals.dynamic_window(x, weights, *grid, heads)
    q, k, v = rearrange(weights.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=heads)
    mixed = weights.mix(merged(rivals.dynamic_window_attention(q, k, v, weights.relative_bias, *grid)))
    gate = weights.excite(F.gelu(weights.squeeze(F.gelu(mixed).mean(dim=1, keepdim=True))))
    gate, branches = (x.unflatten(-1, (len(windows), -1)) for x in (gate, mixed))
    return mixed + weights.head((gate.softmax(dim=2) * branches).sum(dim=2)), released


def shuffle_window() -> list[Row]:
    """Measure how many rows down a query looks if the bias prefers the place below."""
    q, table = torch.zeros(1, 1, FRAME, 1), torch.zeros(49, 1)
    table[2 * 7 + 3] = 50.0  # query one above key, same column
    weights = rivals.shuffle_window_map(q, q, table, FRAMES.h, FRAMES.w, 4, shuffle=True)
    rows = weights[0, 0, 0].argmax().item() // FRAMES.w
    return [Row("shuffle_window", "rows that one step of the bias stands for, windows of 4 shuffled", rows, "rows")]


def faq(x: Tensor) -> list[Row]:
    """Measure the unnormalized weights of dynamic queries, and picks that repeat a query."""
    random, width, ratio = RandomWeights(), x.shape[-1], 4
    base, hidden, mix = random(32, 2 * width), random.linear(width, width), random.linear(32, width)
    frames = rearrange(x, "1 (t n) width -> t n width", t=FRAMES.t)
    free = rivals.faq_dynamic_queries(frames, base, hidden, mix, ratio)
    weights = mix(F.relu(hidden(frames.amax(dim=1)))).unflatten(-1, (-1, ratio))
    averaged = torch.einsum("fir,ird->fid", weights.softmax(dim=-1), base.unflatten(0, (-1, ratio)))
    query, others = x[:, :FRAME], x[:, FRAME:]
    logits, top_k = F.linear(others, random(30, width, inputs=width)), 80 * (FRAMES.t - 1)
    picked = logits.flatten(1).topk(top_k).indices // logits.shape[2]
    distinct = len(picked.unique())
    norm = NormWeights(torch.ones(width, dtype=x.dtype), torch.zeros(width, dtype=x.dtype))
    layers = AggregationWeights(
        self_attention=AttentionWeights(random.linear(3 * width, width), random.linear(width, width), norm),
        cross_attention=AttentionWeights(random.linear(3 * width, width), random.linear(width, width), norm),
        expand=random.linear(4 * width, width),
        project=random.linear(width, 4 * width),
        norm=norm,
    )
    released = rivals.faq_query_aggregation(query, others, logits, layers, heads=4, top_k=top_k)
    best = logits.amax(dim=2, keepdim=True)  # the same queries, each for its best class alone
    once = rivals.faq_query_aggregation(query, others, best, layers, heads=4, top_k=distinct)
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
    """Return every row of these rivals for the first clip; Nyströmformer is also run on both clips in one batch."""
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
    return [row for rows_of_rival in rows for row in rows_of_rival]
