"""One set of weights under several mechanisms: the models that answer for them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from linvid_edu.models.color_transformer import make_model
from linvid_edu.models.config import FixationKind, ModelConfig
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.models.variants import MECHANISM_FIELDS, find_variant
from linvid_edu.video.clip import Clip
from linvid_edu.video.tokens import pair

Checkpoint = tuple[str, VideoTransformer]  # the name of its file, without the folder, and what load_model returned

DEFAULT_FRAMES, DEFAULT_PIXELS = 8, 112  # t, and the side of a frame, if no checkpoint decides them
# fields of a configuration in which checkpoints may differ
MAY_DIFFER = {*MECHANISM_FIELDS, "shift_div", "dropout"} - {"feature_map", "gate"}
MAX_MECHANISMS = 4  # mechanisms that one page may show by name


class Row(NamedTuple):
    """The mechanism that a row of the usual page switches on; a checkpoint takes the row that matches it."""

    attention: str
    fixation: bool = False
    association: bool = False

    @classmethod
    def of(cls, config: ModelConfig) -> "Row":
        """Return the row of a configuration."""
        return cls(config.attention, config.fixation != "none", config.association)

    def switch(self, config: ModelConfig) -> ModelConfig:
        """Return a configuration with this row's mechanism; its kind of fixation stays, or becomes cooperative.

        Feature map and gate are kept only for linear attention. Settings of a rival are dropped.
        """
        kind: FixationKind = "cooperative" if config.fixation == "none" else config.fixation
        shared = config.shared_fixation
        config = replace(config, fixation="none", shared_fixation=False, attention="linear", settings={})
        if self.attention != "linear":
            config = replace(config, feature_map="relu + offset", gate="none")
        return replace(
            config,
            attention=self.attention,
            fixation=kind if self.fixation else "none",
            shared_fixation=self.fixation and shared,
            association=self.association,
        )


WITH_EVERYTHING = Row("linear", fixation=True, association=True)
USUAL_ROWS = (Row("softmax"), Row("linear"), Row("linear", fixation=True), WITH_EVERYTHING)


class Answering(NamedTuple):
    """A model that answers for one mechanism.

    label: the mechanism as figures show it, such as "cooperative fixation"
    status, origin: where its weights come from, in a few words and in full
    """

    label: str
    status: str
    origin: str
    model: VideoTransformer


def answering_models(
    clip: Clip, *, checkpoints: Sequence[Checkpoint] = (), seed: int = 0, mechanisms: Sequence[str] = ()
) -> Iterator[Answering]:
    """Make the models that answer in ``explain``, one for each mechanism, one after another.

    ``AttentionExplorer(clip, answering_models(clip, mechanisms=["softmax", "performer"]))`` shows them live.

    Args:
        clip, checkpoints, seed: As for ``explain``.
        mechanisms: As for ``explain``, any number of them.

    Raises:
        ValueError: Checkpoints disagree in size or agree in mechanism, or a mechanism is unknown or does not fit.
    """
    _check(checkpoints)
    donors = checkpoints or [("", _build(model_size(clip, ()), seed)[0])]
    trained = {model.config.variant: (name, model) for name, model in checkpoints}
    for config in _configurations(donors, checkpoints, mechanisms):
        if config.variant in trained:
            name, model = trained[config.variant]
            yield Answering(config.label, "trained", f"trained: the weights of {name}", model)
            continue
        name, donor = _donor(donors, config.fixation != "none")
        model, fresh = _build(config, seed, donor)
        yield Answering(config.label, *_origin(name, seed, fresh), model)


def _configurations(
    donors: Sequence[Checkpoint], checkpoints: Sequence[Checkpoint], mechanisms: Sequence[str]
) -> list[ModelConfig]:
    """Return a configuration for each mechanism that answers: those that are named, or the usual and the trained."""
    if mechanisms:
        configs = [_named(donors[0][1].config, name) for name in mechanisms]
    elif checkpoints and checkpoints[0][1].config.output == "colors":
        configs = [model.config for _, model in checkpoints]
    else:
        own = [model.config for _, model in checkpoints]
        filled = {Row.of(config): config for config in reversed(own)}
        usual = [filled.get(row) or row.switch(_donor(donors, row.fixation)[1].config) for row in USUAL_ROWS]
        configs = usual + own
    return list({config.variant: config for config in configs}.values())


def _donor(donors: Sequence[Checkpoint], fixation: bool) -> Checkpoint:
    """Return the model that lends its weights: the first, or the first with fixation if fixation is needed."""
    fixing = [(name, model) for name, model in donors if fixation and model.config.fixation != "none"]
    return (fixing or list(donors))[0]


def _named(size: ModelConfig, name: str) -> ModelConfig:
    """Return a variant in the size of another configuration."""
    variant = find_variant(name)
    try:
        return size.with_variant(name)
    except ValueError as error:
        raise ValueError(
            f"{variant.name} does not fit tokens of {size.grid.rows} × {size.grid.columns}, {size.heads} heads and "
            f"width {size.width}: {error}, or take frames of another size"
        ) from error


def at_most_four(mechanisms: Sequence[str]) -> None:
    """Raise if there are more mechanisms than fit side by side on a page."""
    if len(mechanisms) > MAX_MECHANISMS:
        raise ValueError(f"{len(mechanisms)} mechanisms: ask for at most {MAX_MECHANISMS}, which stand side by side")


def clip_size(checkpoints: Sequence[Checkpoint], frames: int | None, size: int | None) -> tuple[int, int]:
    """Return the size of the clip to load. The checkpoints decide; the default is 8 frames of 112 × 112.

    A color model takes any number of frames, by default 8.

    Args:
        checkpoints: the first one counts.
        frames: t that was asked for, or None.
        size: side of a frame in pixels that was asked for, or None.

    Returns:
        frames and side.

    Raises:
        ValueError: the size asked for is not the one that the checkpoint takes, or its frames are not square.
    """
    if not checkpoints:
        return frames or DEFAULT_FRAMES, size or DEFAULT_PIXELS
    name, config = checkpoints[0][0], checkpoints[0][1].config
    height, width = pair(config.image_size)
    if height != width:
        raise ValueError(f"{name} is made for frames of {height}×{width} pixels, videos are cut to squares")
    own_frames = config.num_frames if config.output == "classes" else frames or DEFAULT_FRAMES
    for option, asked, own in (("frames", frames, own_frames), ("size", size, height)):
        if asked not in (None, own):
            raise ValueError(f"{option} {asked} does not fit {name}, which is made for {own}: leave {option} out")
    return own_frames, height


def model_size(clip: Clip, checkpoints: Sequence[Checkpoint]) -> ModelConfig:
    """Return the first checkpoint's configuration or, without checkpoints, one of a small model for the clip."""
    if checkpoints:
        return checkpoints[0][1].config
    t, h, w, _ = clip.frames.shape
    return WITH_EVERYTHING.switch(ModelConfig.compact(num_frames=t, image_size=(h, w), kernel=16, stride=14, padding=8))


def _build(config: ModelConfig, seed: int, donor: VideoTransformer | None = None) -> tuple[VideoTransformer, list[str]]:
    """Make a model that takes every weight of the same name and shape from the donor; name those that stay random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make_model(config).eval()
    shared, own = {} if donor is None else donor.state_dict(), model.state_dict()
    fitting = {name: shared[name] for name in own if name in shared and shared[name].shape == own[name].shape}
    model.load_state_dict({**own, **fitting})
    return model, [name for name in own if name not in fitting]


def _origin(name: str, seed: int, fresh: Sequence[str]) -> tuple[str, str]:
    """Say, briefly and in full, where the weights of a mechanism come from that no checkpoint was trained for."""
    if not name:
        return "random weights", f"random weights, seed {seed}"
    if any("fixation" in weight for weight in fresh):
        words = f"the weights of {name} with the mechanism switched; its fixation layers are random, seed {seed}"
        return "not trained so, random fixation", f"{words}; not trained so"
    if fresh:
        words = f"the weights of {name} with the mechanism switched; what it alone has is as at the start, seed {seed}"
        return "not trained so", f"{words}; not trained so"
    return "not trained so", f"the weights of {name} with the mechanism switched; not trained so"


def _check(checkpoints: Sequence[Checkpoint]) -> None:
    """Raise if checkpoints differ in more than the mechanism, or if two have the same one."""
    own: dict[str, str] = {}
    first, size = next(((name, model.config.to_dict()) for name, model in checkpoints), ("", {}))
    # color models are not switched to other mechanisms unless these are named, so any two mechanisms go together
    may_differ = {*MAY_DIFFER, "feature_map"} if size.get("output") == "colors" else MAY_DIFFER
    for name, model in checkpoints:
        for field, value in model.config.to_dict().items():
            if field not in may_differ and value != size[field]:
                raise ValueError(f"{first} and {name} differ in {field}, {size[field]} and {value}: compare one size")
        variant = model.config.variant
        if variant in own:
            raise ValueError(f"{own[variant]} and {name} both hold {variant!r}: pass one for each mechanism")
        own[variant] = name
