"""Where one token of a clip looks, under one mechanism after another."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from linvid_edu.attention.measures import Concentration, concentration, negative_share, numerical_rank
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.trace import record
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Grid
from linvid_edu.video.clip import Clip
from linvid_edu.video.tokens import patch_grid

from .mechanisms import Checkpoint, answering_models, at_most_four, model_size
from .query import Place, Query, choose_query, index_of


class Answer(NamedTuple):
    """Where the query looks under one mechanism.

    label, status, origin: of the model that answers
    weights: the attention to all tokens, divided by the sum of its sizes so that Σ |p_j| = 1, (t rows columns); all 0
        where no feature of the query meets one of a key, as without offset
    concentration: the measures of the shares |p_j|; None where all weights are 0
    rank: of the spatial map of the query's frame, averaged over heads; None for joint attention
    negative: the share that is below 0
    total: what the row summed to before it was divided
    """

    label: str
    status: str
    origin: str
    weights: Tensor
    concentration: Concentration | None
    rank: float | None
    negative: float = 0.0
    total: float = 1.0


class Explanation(NamedTuple):
    """A query and its answers.

    config: the size of the models, with the first checkpoint's mechanism
    block, head: whose attention it is, counted from 0; head None is the mean over heads
    seed: of the weights that are random
    files: names of the checkpoints; none where all weights are random
    """

    clip: Clip
    config: ModelConfig
    grid: Grid
    query: Query
    block: int
    head: int | None
    seed: int
    files: tuple[str, ...]
    answers: tuple[Answer, ...]


def explain(
    clip: Clip,
    *,
    checkpoints: Sequence[Checkpoint] = (),
    query: Place = (None, None, None),
    block: int = -1,
    head: int | None = None,
    seed: int = 0,
    mechanisms: Sequence[str] = (),
    progress: Callable[[str], object] = lambda name: None,
) -> Explanation:
    """Ask one token where it looks, with one set of weights under four mechanisms.

    A checkpoint answers for its own mechanism, which is added where it is none of the four. The other mechanisms take
    the weights they share with the first checkpoint, or with the first that has fixation where they need it.

    Args:
        clip: of any size where there is no checkpoint, because a small random model is made for it.
        checkpoints: of one size and different mechanisms.
        query: frame, row and column of the token, counted from 0; ``choose_query`` fills in what is None.
        block: index of the block; −1 is the last.
        head: index of the head; None is the mean over heads.
        seed: of the weights that are random, 0 or more.
        mechanisms: one to four that answer, such as "performer" or "cosformer-cooperative"; none means the usual four.
        progress: called with the label of each mechanism before it answers.

    Raises:
        ValueError: checkpoints disagree in size or agree in mechanism, the clip does not fit them, a mechanism is
            unknown or does not fit, there is no such token, block or head, or the query looks nowhere.
    """
    at_most_four(mechanisms)
    config = model_size(clip, checkpoints)
    h, w = clip.frames.shape[1:3]
    grid = patch_grid((h, w), kernel=config.kernel, stride=config.stride, padding=config.padding)
    chosen = choose_query(clip, config, query)
    block = index_of("block", block, config.depth, lowest=-config.depth) % config.depth
    head = None if head is None else index_of("head", head, config.heads)
    answers = []
    for each in answering_models(clip, checkpoints=checkpoints, seed=seed, mechanisms=mechanisms):
        progress(each.label)
        weights, rank, total = _look(each.model, clip, chosen, grid, block, head)
        row = weights.flatten()
        measures, negative = (concentration(row), negative_share(row).item()) if row.any() else (None, 0.0)
        answers.append(Answer(each.label, each.status, each.origin, weights, measures, rank, negative, total))
    if all(answer.concentration is None for answer in answers):
        place = "frame {}, row {}, column {}".format(*chosen[:3])
        names = " and ".join(answer.label for answer in answers)
        raise ValueError(f"no token gets any weight of {names} at {place}: choose another query")
    return Explanation(clip, config, grid, chosen, block, head, seed, tuple(n for n, _ in checkpoints), tuple(answers))


def _look(
    model: VideoTransformer, clip: Clip, query: Query, grid: Grid, block: int, head: int | None
) -> tuple[Tensor, float | None, float]:
    heads = slice(None) if head is None else slice(head, head + 1)
    with torch.no_grad(), record(model) as trace:
        model(clip.video.unsqueeze(0))
        weights = trace.row(block, query.frame, grid.token(query.row, query.column))[0, heads].double().mean(0)
        space = trace.blocks[block].get("space")
        maps = None if space is None else space.map()[0, heads, query.frame]
    total, size = weights.sum().item(), weights.abs().sum().item()
    if size > 0 and abs(size - 1) > 1e-5:  # eps takes a share of small features; rivals need not sum to 1
        weights = weights / size
    rank = None if maps is None else numerical_rank(maps).double().mean().item()
    return weights.unflatten(-1, tuple(grid)), rank, total
