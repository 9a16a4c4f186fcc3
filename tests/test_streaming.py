"""Streaming equals attention over the whole prefix, keeps no more the longer it runs, and says what it cannot do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from linvid_edu.attention.association import spatial_association, temporal_association
from linvid_edu.attention.causal import CausalAssociation, CausalAttention, frame_map, frame_rows
from linvid_edu.attention.feature_maps import elu_plus_one, identity, relu_offset
from linvid_edu.attention.fixation import Fixation
from linvid_edu.attention.functions import linear_attention
from linvid_edu.attention.mechanisms import fixate
from linvid_edu.attention.rivals import RIVALS, KernelRival, Setting
from linvid_edu.attention.spans import fold, unfold
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.streaming import ModelStream
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Extent, Grid
from linvid_edu.training.loop import initialize

MAPS = {"relu + offset": relu_offset, "elu + 1": elu_plus_one, "relu": F.relu}


@settings(max_examples=30, deadline=None)
@given(
    blocks=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    feature_map=st.sampled_from(sorted(MAPS)),
    kind=st.sampled_from([None, "separate", "cooperative", "constant"]),
    e2=st.sampled_from([4, 4, 3]),
    seed=st.integers(0, 99),
)
def test_each_block_is_the_end_of_attention_over_the_whole_prefix(blocks, feature_map, kind, e2, seed):
    torch.manual_seed(seed)
    fixation = Fixation(4, kind=kind) if kind and (e2 == 4 or kind != "cooperative") else None
    q, k = torch.randn(2, 2, 3, sum(blocks), 4)
    v = torch.randn(2, 3, sum(blocks), e2)
    stream = CausalAttention(MAPS[feature_map], fixation=fixation)
    end = 0
    for size in blocks:
        start, end = end, end + size
        out = stream.update(q[:, :, start:end], k[:, :, start:end], v[:, :, start:end])
        prefix = [x[:, :, :end] for x in (q, k, v)]
        features = fixate(fixation, MAPS[feature_map](prefix[0]), MAPS[feature_map](prefix[1]), prefix[2])
        whole = linear_attention(features.q, features.k, prefix[2], feature_map=identity)
        torch.testing.assert_close(out, whole[:, :, start:], rtol=1e-4, atol=1e-5)


def test_the_state_does_not_grow():
    stream, sizes = CausalAttention(), set()
    for _ in range(5):
        stream.update(*torch.randn(3, 2, 4, 7, 8))
        sizes.add(sum(part.numel() for part in stream.state))
    assert sizes == {2 * 4 * (8 * 8 + 8)}


@pytest.mark.slow
def test_sums_over_a_long_stream_stay_exact():
    torch.manual_seed(0)
    keys, values = torch.randn(2, 2000, 64, 8)  # 128,000 tokens
    stream, single = CausalAttention(), torch.zeros(8)
    for k, v in zip(keys, values, strict=True):
        out = stream.update(k, k, v)
        single = single + relu_offset(k).sum(dim=0)
    phi = relu_offset(keys).double().flatten(0, 1)
    last, total = phi[-64:], phi.sum(dim=0)
    exact = last @ (phi.mT @ values.double().flatten(0, 1)) / ((last @ total).unsqueeze(-1) + 1e-6)
    assert (out - exact).abs().max() < 1e-6 * values.abs().max()
    error = (stream.state.total.squeeze(0) - total).abs().max()
    assert error < 1e-7 * total.max()  # what a block of 64 loses in float32, and no more
    assert (single - total).abs().max() > 10 * error  # what float32 would have done


def test_a_very_long_stream_still_notices_what_is_new():
    """After 10⁸ equal tokens, sums in float32 would stand still."""
    stream = CausalAttention()
    ones = torch.ones(1, 1, 1, 2)
    stream.update(ones, ones, ones)
    stream.state = type(stream.state)(*(1e8 * part for part in stream.state))
    before = stream.state.total.clone()
    stream.update(ones, ones, ones)
    assert (stream.state.total > before).all()
    assert torch.equal(before.float() + relu_offset(ones), before.float())  # what float32 would have done


def test_own_share_is_the_weight_on_the_own_block():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 12, 4)
    stream = CausalAttention()
    first = stream.observe(q[:, :, :5], k[:, :, :5], v[:, :, :5])
    second = stream.observe(q[:, :, 5:], k[:, :, 5:], v[:, :, 5:])
    torch.testing.assert_close(first.own, torch.ones(1, 2, 5), rtol=1e-4, atol=1e-5)
    weights = relu_offset(q[:, :, 5:]) @ relu_offset(k).mT
    expected = weights[..., 5:].sum(-1) / weights.sum(-1)
    torch.testing.assert_close(second.own, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(frame_map(second).sum(-1), torch.ones(1, 2, 7))
    torch.testing.assert_close(frame_rows(second, 3), frame_map(second)[:, :, 3])


STREAMING = [name for name, rival in RIVALS.items() if issubclass(rival, KernelRival) and not rival.not_streaming]


def layer_of(name, kind=None, **constants):
    """Return a rival of 2 heads of 12 channels, over frames of 3 × 4 tokens."""
    torch.manual_seed(0)
    fixation = (lambda features: Fixation(12, kind=kind, features=features)) if kind else None
    return RIVALS[name](Setting(2, 12, "joint", Extent(6, 3, 4), make_fixation=fixation), **constants)


@pytest.mark.parametrize("kind", [None, "separate", "cooperative"])
@pytest.mark.parametrize("blocks", [(6,), (1, 1, 1, 1, 1, 1), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("name", STREAMING)
def test_a_kernel_rival_streams_at_the_places_that_its_tokens_have_in_the_clip(name, blocks, kind):
    rival, whole = layer_of(name, kind), layer_of("sana_video_attention" if name == "sana_block_causal" else name, kind)
    stream, end = CausalAttention.of(rival), 0
    q, k, v = torch.randn(3, 2, 2, 72, 12)
    for frames in blocks:
        start, end = end, end + frames
        out = stream.update(*(x[:, :, 12 * start : 12 * end] for x in (q, k, v)), Extent(frames, 3, 4))
        prefix = whole(*(x[:, :, : 12 * end] for x in (q, k, v)), Extent(end, 3, 4))
        expected = prefix[:, :, 12 * start :]
        assert (out - expected).abs().max() < 1e-5 * expected.abs().max()


def test_sana_streams_as_its_block_causal_attention():
    rival = layer_of("sana_block_causal", block_frames=2)
    stream, q, k, v = CausalAttention.of(rival), *torch.randn(3, 1, 2, 72, 12)
    blocks = zip(*(x.split(24, dim=2) for x in (q, k, v)), strict=True)
    out = torch.cat([stream.update(*block, Extent(2, 3, 4)) for block in blocks], dim=2)
    expected = rival(q, k, v, Extent(6, 3, 4))
    assert (out - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("name", "constants", "words"),
    [
        ("performer", {}, "Performer does not stream here: .* scaled by the largest key"),
        ("cosformer", {}, "Cosformer does not stream here: .* depend on the number of tokens"),
        ("focused_linear", {"side": 3}, "side=3 adds a convolution"),
    ],
)
def test_a_kernel_rival_that_looks_beyond_its_token_is_refused_in_words(name, constants, words):
    with pytest.raises(ValueError, match=words):
        CausalAttention.of(layer_of(name, **constants))


@pytest.mark.parametrize("name", ["performer", "cosformer"])
def test_what_is_refused_would_change_what_has_passed(name):
    """Features of the first frames are others once the rest has come, which a state cannot undo."""
    rival, (q, k) = layer_of(name), torch.randn(2, 1, 2, 72, 12)
    k[:, :, -1] *= 5
    early, late = (rival.features(q[:, :, :n], k[:, :, :n])[1][:, :, :12] for n in (24, 72))
    assert (early - late).abs().max() > 0.01 * late.abs().max()


def test_reset_begins_a_new_stream():
    q, k, v = torch.randn(3, 1, 1, 4, 2)
    stream = CausalAttention()
    first = stream.update(q, k, v)
    assert not torch.allclose(stream.update(q, 2 * k, v), first)
    stream.reset()
    assert torch.equal(stream.update(q, k, v), first)


@pytest.mark.parametrize("shift_div", [2, 4, 8])
def test_association_gives_each_frame_what_it_gives_the_last_one_of_a_clip(shift_div):
    x = torch.randn(2, 5, 6, 16)
    stream = CausalAssociation(shift_div)
    for frame in range(5):
        expected = temporal_association(x[:, : frame + 1], shift_div=shift_div)[:, -1:]
        assert torch.equal(stream.update(x[:, frame : frame + 1]), expected)


def causal_clip(model, video):
    """Run a model over a whole clip at once, causal in every layer: what the stream must equal."""
    x, grid = model.patch_embedding(video)
    t, n = x.shape[1:3]
    if model.spatial_embedding is not None:
        x = x + model.spatial_embedding
    learned = model.temporal_embedding[:, [min(frame, model.config.num_frames - 1) for frame in range(t)]]
    x = x + learned
    for block in model.blocks:
        for span, layer in block.attention.items():
            q, k, v = layer.qkv(block.attention_norm[span](x)).chunk(3, dim=-1)
            if layer.shift_div is not None:
                k, v = (causal_association(part, layer, span, grid) for part in (k, v))
            q, k, v = (fold(part, span, layer.heads) for part in (q, k, v))
            features = layer.mechanism.attention_inputs(q, k, v)
            left, right = features.q, features.k
            weights = left @ right.mT
            frame = torch.arange(q.shape[-2]) // (n if span == "joint" else 1)
            if span != "space":
                weights = weights * (frame[:, None] >= frame[None, :])
            if features.similarity == "linear":
                weights = weights / (weights.sum(-1, keepdim=True) + 1e-6)
            else:  # factors are normalized over all tokens: normalize them anew
                weights = weights / weights.sum(-1, keepdim=True)
            x = x + layer.projection(unfold(weights @ v, span, t=t, n=n))
        x = x + block.mlp(block.mlp_norm(x), grid)
    return model.norm(x)


def causal_association(x, layer, span, grid):
    if span != "time":
        c = x.shape[-1] // layer.shift_div
        moved = temporal_association(x, shift_div=layer.shift_div)
        x = torch.cat([torch.zeros_like(x[..., :c]), moved[..., c:]], dim=-1)
    return x if span == "space" else spatial_association(x, grid=grid)


@pytest.mark.parametrize("space_time", ["divided", "joint"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fixation": "cooperative", "association": True},
        {"fixation": "separate", "feature_map": "elu + 1", "spatial_embedding": True},
        {"attention": "elu_linear", "fixation": "cooperative"},
    ],
    ids=str,
)
def test_a_model_stream_equals_the_causal_model_on_the_whole_clip(changes, space_time):
    model = initialize(VideoTransformer(ModelConfig.compact(space_time=space_time, **changes)), seed=0).eval()
    video = torch.randn(2, 3, 11, 32, 32)  # more frames than the model has embeddings for
    stream = ModelStream(model)
    with torch.no_grad():
        whole = causal_clip(model, video)
    for frame in range(11):
        step = stream.update(video[:, :, frame])
        torch.testing.assert_close(step.tokens, whole[:, frame], rtol=1e-4, atol=1e-4)
        mean = model.head(whole[:, : frame + 1].mean(2).mean(1))
        torch.testing.assert_close(step.logits, mean, rtol=1e-4, atol=1e-4)
    assert [set(layers) for layers in step.layers] == [set(model.config.spans)] * 2


def test_one_frame_alone_is_what_the_model_says_of_it():
    model = initialize(VideoTransformer(ModelConfig.compact(num_frames=1, fixation="cooperative")), seed=0).eval()
    video = torch.randn(1, 3, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ModelStream(model).update(video[:, :, 0]).logits, model(video), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("space_time", ["divided", "joint"])
@pytest.mark.parametrize("fixation", ["none", "cooperative"])
def test_a_block_causal_model_streams_as_it_runs_on_a_clip(space_time, fixation):
    changes = {"attention": "sana_block_causal", "fixation": fixation, "space_time": space_time, "width": 48}
    model = initialize(VideoTransformer(ModelConfig.compact(**changes)), seed=0).eval()
    video, stream = torch.randn(2, 3, 8, 32, 32), ModelStream(model)
    for frame in video.unbind(2):
        step = stream.update(frame)
    with torch.no_grad():
        torch.testing.assert_close(step.logits, model(video), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attention": "softmax"}, "SoftmaxAttention does not stream here: its map is not made of sums"),
        ({"attention": "nystrom"}, "Nystrom does not stream here: its map is not made of sums"),
        ({"attention": "performer"}, "Performer does not stream here: its features are scaled"),
        ({"gate": "both"}, "LinearAttention does not stream here: its gate"),
        ({"attention": "sana_block_causal", "settings": {"block_frames": 2}}, "block_frames=2 lets a frame see"),
    ],
    ids=str,
)
def test_a_model_that_does_not_stream_is_refused_in_words(changes, words):
    with pytest.raises(ValueError, match=words):
        ModelStream(VideoTransformer(ModelConfig.compact(**changes)))


@pytest.mark.parametrize("name", RIVALS)
def test_every_rival_streams_or_is_refused(name):
    model = VideoTransformer(ModelConfig.compact(attention=name, width=48))
    if name in STREAMING:
        assert ModelStream(model).update(torch.zeros(1, 3, 32, 32)).logits.isfinite().all()
        return
    with pytest.raises(ValueError, match="does not stream here"):
        ModelStream(model)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: CausalAttention().update(*torch.ones(3, 1, 1, 0, 2)), "a block of 0 tokens"),
        (
            lambda: CausalAttention().update(torch.ones(1, 1, 3, 2), torch.ones(1, 1, 3, 2), torch.ones(1, 1, 4, 2)),
            r"q \(1, 1, 3, 2\).* do not belong to one block",
        ),
        (lambda: two_blocks((1, 2, 3, 4), (1, 1, 3, 4)), "does not fit those before"),
        (lambda: two_blocks((1, 2, 3, 4), (1, 2, 5, 6)), "does not fit those before"),
        (lambda: two_frames((32, 32), (32, 36)), "frame 1 has 8×9 tokens, those before had 8×8"),
        (lambda: two_frames((36, 32), spatial_embedding=True), "36×32 pixels, the model's spatial embedding"),
        (lambda: CausalAssociation(1), "shift_div=1"),
    ],
)
def test_bad_blocks_are_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def two_blocks(first, second):
    stream = CausalAttention()
    for shape in (first, second):
        stream.update(*torch.ones(3, *shape))


def two_frames(*sizes, **changes):
    stream = ModelStream(VideoTransformer(ModelConfig.compact(space_time="joint", **changes)))
    for size in sizes:
        stream.update(torch.zeros(1, 3, *size))


def test_spatial_grids_other_than_the_models_are_taken_without_a_spatial_embedding():
    model = VideoTransformer(ModelConfig.compact()).eval()
    step = ModelStream(model).update(torch.randn(1, 3, 64, 48))
    rows, columns = Grid(16, 12)
    assert step.tokens.shape == (1, rows * columns, 64)


def test_a_clip_is_no_frame(unchecked_shapes):
    with pytest.raises(ValueError, match=r"shape \(1, 3, 8, 32, 32\), expected \(b, 3, h, w\)"):
        ModelStream(VideoTransformer(ModelConfig.compact())).update(torch.zeros(1, 3, 8, 32, 32))
