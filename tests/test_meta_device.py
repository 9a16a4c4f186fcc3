"""All of attention on torch's meta device, forward and backward: a tensor made on the wrong device fails as on CUDA."""

import inspect

import pytest
import torch
from rival_arguments import constants
from torch.utils._pytree import tree_leaves, tree_map

from linvid_edu import attention
from linvid_edu.attention import rivals
from linvid_edu.attention.fixation import Fixation, ValueGate
from linvid_edu.attention.mechanisms import LinearAttention, SoftmaxAttention, weights_between
from linvid_edu.attention.rivals import RIVALS, KernelRival, LinearWeights, NormWeights, Setting
from linvid_edu.shapes import Extent, Grid

B, HEADS, N, D = 2, 4, 12, 8
WIDTH = HEADS * D
X = (B, HEADS, N, D)
CLIP = (B, 3, 4, WIDTH)


def linear(outputs, inputs):
    return LinearWeights(torch.randn(outputs, inputs), torch.randn(outputs))


def norm():
    return NormWeights(torch.randn(WIDTH), torch.randn(WIDTH))


def attention_weights():
    return rivals.AttentionWeights(linear(3 * WIDTH, WIDTH), linear(WIDTH, WIDTH), norm())


def fixation_layers(inputs):
    return [torch.randn(D, inputs), torch.randn(D), torch.randn(D, inputs), torch.randn(D)]


def dynamic_window_weights():
    return rivals.DynamicWindowWeights(
        linear(3 * WIDTH, WIDTH),
        torch.randn(9, HEADS),
        linear(WIDTH, WIDTH),
        linear(5, WIDTH),
        linear(WIDTH, 5),
        linear(WIDTH, WIDTH),
    )


def qkv():
    return list(torch.randn(3, *X))


def qk():
    return list(torch.randn(2, *X))


def queries_of_detector():
    weights = rivals.AggregationWeights(
        attention_weights(), attention_weights(), linear(6, WIDTH), linear(WIDTH, 6), norm()
    )
    return [torch.randn(B, 3, WIDTH), torch.randn(B, 5, WIDTH), torch.randn(B, 5, 4), weights, HEADS, 7]


def feed_forward():
    depthwise = rivals.DepthwiseWeights(torch.randn(6, 3, 3), torch.randn(6))
    weights = rivals.MixFFNWeights(linear(6, WIDTH), depthwise, torch.randn(WIDTH, 3), torch.randn(WIDTH, WIDTH, 3))
    return [torch.randn(B, N, WIDTH), weights, 3, 2, 2]


def landmarks(*sizes):
    return torch.zeros(B, HEADS, *sizes, dtype=torch.long)


# arguments of the functions that are no drop-in rivals, made on the CPU
ARGUMENTS = {
    "softmax_attention": qkv,
    "softmax_attention_oracle": qkv,
    "linear_attention": qkv,
    "linear_attention_oracle": qkv,
    "attention_map": qk,
    "attention_row": lambda: [torch.randn(B, HEADS, D), torch.randn(*X)],
    "relu_offset": lambda: [torch.randn(*X)],
    "elu_plus_one": lambda: [torch.randn(*X)],
    "identity": lambda: [torch.randn(*X)],
    "constant_fixation": lambda: [*qk(), torch.randn(D), torch.randn(D)],
    "separate_fixation": lambda: [*qk(), *fixation_layers(D)],
    "cooperative_fixation": lambda: [*qkv(), *fixation_layers(3 * D)],
    "temporal_association": lambda: [torch.randn(*CLIP), {"shift_div": 4}],
    "spatial_association": lambda: [torch.randn(*CLIP), {"grid": Grid(2, 2)}],
    "fold": lambda: [torch.randn(*CLIP), "space", HEADS],
    "unfold": lambda: [torch.randn(B * 3, HEADS, 4, D), "space", {"t": 3, "n": 4}],
    "divided_row": lambda: [torch.rand(B, 4), torch.rand(B, 4, 3)],
    "entropy": lambda: [torch.rand(B, N)],
    "normalized_entropy": lambda: [torch.rand(B, N)],
    "effective_tokens": lambda: [torch.rand(B, N)],
    "gini": lambda: [torch.rand(B, N)],
    "top_mass": lambda: [torch.rand(B, N)],
    "mass_on": lambda: [torch.rand(B, N), torch.rand(N) > 0.5],
    "mask_share": lambda: [torch.rand(N) > 0.5],
    "numerical_rank": lambda: [torch.rand(B, N, N)],
    "dynamic_window": lambda: [torch.randn(B, N, WIDTH), dynamic_window_weights(), 3, 4, [2], [1], HEADS],
    "faq_dynamic_queries": lambda: [torch.randn(3, N, WIDTH), torch.randn(8, 5), linear(4, WIDTH), linear(8, 4), 2],
    "faq_query_aggregation": queries_of_detector,
    "faq_vanilla_queries": lambda: [
        torch.randn(B, 3, 4, 5),
        torch.randn(B, WIDTH),
        torch.randn(B, 3, WIDTH),
        *torch.randn(2, 6, WIDTH),
    ],
    "orthoformer_landmarks": lambda: [torch.randn(*X), landmarks(), 3],
    "orthoformer_frames": lambda: [*qkv(), landmarks(2), 3],
    "orthoformer_frames_map": lambda: [*qk(), landmarks(2), 3],
    "performer_features": lambda: [*qk(), torch.randn(5, D)],
    "cosformer_features": qk,
    "focused_features": lambda: [*qk(), torch.randn(HEADS, D)],
    "sana_video_mixffn": feed_forward,
}
ARGUMENTS |= {
    f"{name}_oracle": ARGUMENTS[name]
    for name in ("dynamic_window", "faq_dynamic_queries", "faq_vanilla_queries", "orthoformer_frames")
}
ARGUMENTS["sana_video_mixffn_oracle"] = feed_forward
READ_VALUES = {  # these turn values into Python numbers, which meta tensors do not have
    "concentration",
    "faq_query_aggregation_oracle",
    "orthoformer_landmarks_oracle",
}
NO_TENSORS = {"orthogonal_projection"}
OF_RIVALS = [name + ending for name in RIVALS for ending in ("", "_map", "_oracle")]


def functions():
    """Return every public function of attention and of the rivals by name."""
    names = [(attention, name) for name in attention.__all__] + [(rivals, name) for name in vars(rivals)]
    return {name: getattr(room, name) for room, name in names if inspect.isfunction(getattr(room, name))}


def on_meta(value):
    """Return a tensor of this shape on the meta device, which wants a gradient if it can."""
    if not isinstance(value, torch.Tensor):
        return value
    return torch.empty_like(value, device="meta").requires_grad_(value.is_floating_point())


def check_meta(out, arguments):
    """Assert that results lie on the meta device, and that gradients reach an argument."""
    results = [value for value in tree_leaves(out) if isinstance(value, torch.Tensor)]
    assert results
    assert all(value.is_meta for value in results)
    differentiable = [value for value in results if value.requires_grad]
    if differentiable:
        sum(value.sum() for value in differentiable).backward()
        leaves = [value for value in tree_leaves(arguments) if isinstance(value, torch.Tensor) and value.is_leaf]
        gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
        assert gradients
        assert all(gradient.is_meta for gradient in gradients)


def test_every_public_function_is_tried():
    assert set(functions()) == {*ARGUMENTS, *OF_RIVALS, *READ_VALUES, *NO_TENSORS}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_function_runs_on_meta(name):
    arguments = tree_map(on_meta, ARGUMENTS[name]())
    keywords = arguments.pop() if isinstance(arguments[-1], dict) else {}
    check_meta(functions()[name](*arguments, **keywords), arguments)


@pytest.mark.parametrize("name", OF_RIVALS)
def test_a_rival_runs_on_meta(name):
    base = name.removesuffix("_map").removesuffix("_oracle")
    arguments = tree_map(on_meta, {**dict(zip("qkv", qkv(), strict=True)), **constants(base, *X)})
    if name.endswith("_map"):
        arguments = {key: value for key, value in arguments.items() if key not in ("v", "convolution", "grid")}
        arguments |= {key: value for key, value in constants(base, *X).items() if key in ("h", "w", "t")}
    check_meta(functions()[name](**arguments), arguments)


def layers():
    """Return every mechanism of attention, by a name for the test."""
    mechanisms = {"softmax": SoftmaxAttention(), "linear": LinearAttention()}
    mechanisms |= {kind: LinearAttention(Fixation(D, kind=kind)) for kind in ("separate", "cooperative", "constant")}
    mechanisms |= {
        f"gate {target}": LinearAttention(gate=ValueGate(D, target=target)) for target in ("value", "output", "both")
    }
    for name, rival in RIVALS.items():
        for span in ("space", "time"):
            extent = Extent(1, 3, 4) if span == "space" else Extent(N, 1, 1)
            options = {"window": 1} if name == "shuffle_window" else {}
            maker = (lambda f: Fixation(D, kind="cooperative", features=f)) if issubclass(rival, KernelRival) else None
            mechanisms[f"{name} {span}"] = rival(Setting(HEADS, D, span, extent, 1, maker), **options)
    return mechanisms


@pytest.mark.parametrize("name", layers())
def test_a_layer_and_its_map_run_on_meta(name):
    layer = layers()[name].to("meta")
    extent = Extent(N, 1, 1) if name.endswith("time") else Extent(1, 3, 4)
    q, k, v = tree_map(on_meta, qkv())
    check_meta(layer(q, k, v, extent), [q, k, v])
    inputs = layer.attention_inputs(q, k, v, extent)
    check_meta(weights_between(inputs.q, inputs.k, inputs.similarity), [q, k, v])
