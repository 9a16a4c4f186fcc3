"""Where one token of a clip attends, under one mechanism after another."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from linvid_edu.attention.measures import Concentration, concentration, negative_share, numerical_rank
from linvid_edu.models.clip_trace import KNOWN_FRAME, trace_clip, traced_blocks, traced_heads
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Grid
from linvid_edu.video.clip import Clip
from linvid_edu.video.tokens import patch_grid

from .mechanisms import Checkpoint, answering_models, at_most_four, model_size
from .query import Query, QueryPlace, choose_query, index_of


class Answer(NamedTuple):
    """Where the query attends under one mechanism.

    Args:
        label: Label of the mechanism.
        status, origin: Where the model's weights come from, in a few words and in full.
        weights: Attention to all tokens, divided by Σ |a_j| so that Σ |p_j| = 1, (t rows columns); all 0 if no feature
            of the query meets one of a key, as without offset.
        concentration: Measures of the shares |p_j|; None if all weights are 0.
        rank: Rank of the spatial map of the query's frame, averaged over heads; None for joint attention.
        negative: Share of the weight that is negative.
        total: Sum of the row before it was divided.
        name: Name of the variant.
    """

    label: str
    status: str
    origin: str
    weights: Tensor
    concentration: Concentration | None
    rank: float | None
    negative: float = 0.0
    total: float = 1.0
    name: str = ""

    @property
    def drawn(self) -> bool:
        """Whether any token gets weight, so that there is something to draw."""
        return self.concentration is not None


class Explanation(NamedTuple):
    """A query and its answers.

    Args:
        clip: The clip.
        config: Size of the models, with the mechanism of the first checkpoint.
        grid: Token grid of a frame.
        query: The query token.
        block, head: Block and head whose attention is shown, counted from 0; head None is the mean over heads.
        seed: Seed of the random weights.
        files: Names of the checkpoints; empty if all weights are random.
        answers: One answer for each mechanism.
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
    query: QueryPlace = (None, None, None),
    block: int = -1,
    head: int | None = None,
    seed: int = 0,
    mechanisms: Sequence[str] = (),
    progress: Callable[[str], object] = lambda name: None,
) -> Explanation:
    """Compute where one token attends, with one set of weights under several mechanisms.

    Each checkpoint answers for its own mechanism, which is added if it is none of the usual four. The other mechanisms
    take the weights that they share with the first checkpoint, or with the first that has fixation if they need it.

    Args:
        clip: Clip of the models' size; any size without checkpoints, because a small random model is made for it.
        checkpoints: Models of one size with different mechanisms.
        query: Frame, row and column of the token, counted from 0; ``choose_query`` fills in what is None.
        block: Index of the block; −1 is the last.
        head: Index of the head; None is the mean over heads.
        seed: Seed of the random weights, 0 or more.
        mechanisms: One to four names, such as "performer" or "cosformer-cooperative"; empty means the usual four.
        progress: Called with the label of each mechanism before it is run.

    Raises:
        ValueError: Checkpoints disagree in size or agree in mechanism, the clip does not fit them, a mechanism is
            unknown or does not fit, there is no such token, block or head, or no mechanism gives any token weight.
    """
    at_most_four(mechanisms)
    config = model_size(clip, checkpoints)
    height, width = clip.frames.shape[1:3]
    grid = patch_grid((height, width), kernel=config.kernel, stride=config.stride, padding=config.padding)
    chosen = choose_query(clip, config, query)
    blocks = traced_blocks(config)
    block = index_of("block", block, blocks, lowest=-blocks) % blocks
    head = None if head is None else index_of("head", head, traced_heads(config))
    answers = []
    for answering in answering_models(clip, checkpoints=checkpoints, seed=seed, mechanisms=mechanisms):
        progress(answering.label)
        weights, rank, total = _attend(answering.model, clip, chosen, grid, block, head)
        row = attended_part(weights, config).flatten()
        measures, negative = (concentration(row), negative_share(row).item()) if row.any() else (None, 0.0)
        name = answering.model.config.variant
        answers.append(Answer(*answering[:3], weights, measures, rank, negative, total, name))
    if not any(answer.drawn for answer in answers):
        place = f"frame {chosen.frame}, row {chosen.row}, column {chosen.column}"
        names = " and ".join(answer.label for answer in answers)
        raise ValueError(f"no token gets any weight of {names} at {place}: choose another query")
    files = tuple(name for name, _ in checkpoints)
    return Explanation(clip, config, grid, chosen, block, head, seed, files, tuple(answers))


def explanation_numbers(explanation: Explanation) -> dict[str, Any]:
    """Return the numbers of an explanation as plain values for JSON; a number that does not exist is None.

    Returns:
        "mechanisms", by the name of the variant: "entropy" (normalized), "effective_tokens", "top_mass", "gini",
        "rank", "negative", and "weights", where the weights come from; and what identifies the question: "video",
        "seconds" (first and last frame), "frames", "grid", "query" (frame, row, column), "block", "head" (None is the
        mean), and "tokens", the number of tokens that the measures are over.
    """
    clip, first = explanation.clip, explanation.answers[0].weights
    return {
        "video": Path(clip.source).name,
        "seconds": [round(clip.times[index].item(), 3) for index in (0, -1)],
        "frames": len(clip.times),
        "grid": list(explanation.grid),
        "query": list(explanation.query[:3]),
        "block": explanation.block,
        "head": explanation.head,
        "tokens": attended_part(first, explanation.config).numel(),
        "mechanisms": {answer.name: _answer_numbers(answer) for answer in explanation.answers},
    }


def _answer_numbers(answer: Answer) -> dict[str, Any]:
    measures = answer.concentration
    return {
        "entropy": measures and measures.normalized_entropy,
        "effective_tokens": measures and measures.effective_tokens,
        "top_mass": measures and measures.top_mass,
        "gini": measures and measures.gini,
        "rank": answer.rank,
        "negative": answer.negative,
        "weights": answer.status,
    }


def attended_part(weights: Tensor, config: ModelConfig) -> Tensor:
    """Return the weights on tokens that the query may attend to: those of the first frame if a model copies colors."""
    return weights if config.output == "classes" else weights[KNOWN_FRAME : KNOWN_FRAME + 1]


def _attend(
    model: VideoTransformer, clip: Clip, query: Query, grid: Grid, block: int, head: int | None
) -> tuple[Tensor, float | None, float]:
    """Return the query's weights (t rows columns), the rank of its frame's map, and the sum of the weights."""
    heads = slice(None) if head is None else slice(head, head + 1)
    trace = trace_clip(model, clip)
    weights = trace.row(block, query.frame, grid.token(query.row, query.column))[0, heads].double().mean(0)
    space = trace.blocks[block].get("space")
    maps = None if space is None else space.map()[0, heads, query.frame]
    total, size = weights.sum().item(), weights.abs().sum().item()
    if size > 0 and abs(size - 1) > 1e-5:  # eps takes a share of small features; rivals need not sum to 1
        weights = weights / size
    rank = None if maps is None else numerical_rank(maps).double().mean().item()
    return weights.unflatten(-1, tuple(grid)), rank, total
