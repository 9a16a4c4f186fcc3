"""One set of weights under several mechanisms: their names, and the models that answer for them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from linvid_edu.attention.rivals import RIVALS
from linvid_edu.models.config import KERNELS, Attention, FixationKind, ModelConfig
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.video.clip import Clip
from linvid_edu.video.tokens import pair

Checkpoint = tuple[str, VideoTransformer]  # the name of its file, without the folder, and what load_model returned

FRAMES, SIZE = 8, 112  # of a clip for the random model
# fields of a configuration in which checkpoints may differ
SWITCHED = {"attention", "settings", "fixation", "shared_fixation", "association", "shift_div", "dropout"}
MOST = 4  # mechanisms that are asked for


class Mechanism(NamedTuple):
    """What one answer switches on: attention, a rival's name among them, and what is added to it."""

    attention: Attention
    fixation: bool = False
    association: bool = False

    @classmethod
    def of(cls, config: ModelConfig) -> "Mechanism":
        """Read the mechanism off a configuration."""
        return cls(config.attention, config.fixation != "none", config.association)

    def switch(self, config: ModelConfig) -> ModelConfig:
        """Switch a configuration to this mechanism; its kind of fixation stays, or becomes cooperative.

        The configuration's feature map and gate belong to linear attention alone, and a rival's settings to itself.
        """
        kind: FixationKind = "cooperative" if config.fixation == "none" else config.fixation
        shared = config.shared_fixation
        settings = config.settings if self.attention == config.attention else {}
        config = replace(config, fixation="none", shared_fixation=False, attention="linear", settings={})
        if self.attention != "linear":
            config = replace(config, feature_map="relu + offset", gate="none")
        return replace(
            config,
            settings=settings,
            attention=self.attention,
            fixation=kind if self.fixation else "none",
            shared_fixation=self.fixation and shared,
            association=self.association,
        )


def parse_mechanism(words: str) -> Mechanism:
    """Read a mechanism as ``mechanism_name`` writes it, such as "cosformer + fixation + association".

    Raises:
        ValueError: a part that is unknown, or fixation where there are no features.
    """
    attention, *added = (part.strip() for part in words.split("+"))
    if attention not in (known := ("softmax", "linear", *RIVALS)):
        raise ValueError(f"mechanism {words!r}: {attention!r} is unknown: choose one of {', '.join(known)}")
    if unknown := [part for part in added if part not in ("fixation", "association")]:
        raise ValueError(f'mechanism {words!r}: {unknown[0]!r} is unknown: add "fixation", "association" or both')
    if "fixation" in added and attention not in ("linear", *KERNELS):
        raise ValueError(f"mechanism {words!r}: {attention} has no features to reweight: leave fixation out")
    return Mechanism(attention, "fixation" in added, "association" in added)


FULL = Mechanism("linear", fixation=True, association=True)
MECHANISMS = (Mechanism("softmax"), Mechanism("linear"), Mechanism("linear", fixation=True), FULL)


class Answering(NamedTuple):
    """A model that answers for one mechanism.

    name: the mechanism in words, such as "linear + fixation"
    status, origin: where its weights come from, in a few words and in full
    """

    name: str
    status: str
    origin: str
    model: VideoTransformer


def answering_models(
    clip: Clip, *, checkpoints: Sequence[Checkpoint] = (), seed: int = 0, mechanisms: Sequence[str] = ()
) -> Iterator[Answering]:
    """Make the models that answer in ``explain``, one for each mechanism, one after another.

    ``AttentionExplorer(clip, answering_models(clip, mechanisms=["softmax", "performer"]))`` shows them live.

    Args:
        clip, checkpoints, seed: as for ``explain``.
        mechanisms: as for ``explain``, any number of them.

    Raises:
        ValueError: checkpoints disagree in size or agree in mechanism, or a mechanism is unknown or does not fit.
    """
    _check(checkpoints)
    asked = [parse_mechanism(words) for words in mechanisms]
    donors = checkpoints or [("", _build(model_size(clip, ()), seed)[0])]
    own = {Mechanism.of(model.config): (name, model) for name, model in checkpoints}
    for mechanism in dict.fromkeys(asked or (*MECHANISMS, *own)):
        fixing = [each for each in donors if mechanism.fixation and each[1].config.fixation != "none"]
        name, donor = own.get(mechanism) or (fixing or donors)[0]
        try:
            model, fresh = (donor, []) if mechanism in own else _build(mechanism.switch(donor.config), seed, donor)
        except ValueError as error:
            raise ValueError(
                f"{mechanism.attention} does not fit tokens of {donor.config.grid.rows} × {donor.config.grid.columns}, "
                f"{donor.config.heads} heads and width {donor.config.width}: {error}, or take frames of another size"
            ) from error
        origin = _origin(name, seed, trained=mechanism in own, fresh=fresh)
        yield Answering(mechanism_name(model.config), *origin, model)


def at_most_four(mechanisms: Sequence[str]) -> None:
    """Refuse more mechanisms than can stand side by side on a page."""
    if len(mechanisms) > MOST:
        raise ValueError(f"{len(mechanisms)} mechanisms: ask for at most {MOST}, which stand side by side")


def clip_size(checkpoints: Sequence[Checkpoint], frames: int | None, size: int | None) -> tuple[int, int]:
    """Say which clip to load: the checkpoints decide, and without them 8 frames of 112 × 112.

    Args:
        checkpoints: the first one counts.
        frames: t that was asked for; None asks for nothing.
        size: side of a frame in pixels that was asked for; None asks for nothing.

    Returns:
        frames and side.

    Raises:
        ValueError: something else was asked for than the checkpoint takes, or its frames are not square.
    """
    if not checkpoints:
        return frames or FRAMES, size or SIZE
    name, config = checkpoints[0][0], checkpoints[0][1].config
    height, width = pair(config.image_size)
    if height != width:
        raise ValueError(f"{name} is made for frames of {height}×{width} pixels, videos are cut to squares")
    for option, asked, own in (("frames", frames, config.num_frames), ("size", size, height)):
        if asked not in (None, own):
            raise ValueError(f"{option} {asked} does not fit {name}, which is made for {own}: leave {option} out")
    return config.num_frames, height


def mechanism_name(config: ModelConfig) -> str:
    """Say a configuration's mechanism in words, such as "linear + fixation + association"."""
    bare = replace(config, fixation="none", shared_fixation=False, association=False).variant
    kind = {"none": "", "cooperative": " + fixation"}.get(config.fixation, f" + {config.fixation} fixation")
    shared = " with one shared layer" * config.shared_fixation
    return bare + kind + shared + " + association" * config.association


def model_size(clip: Clip, checkpoints: Sequence[Checkpoint]) -> ModelConfig:
    """Return the first checkpoint's configuration, or without any that of a small model made for the clip."""
    if checkpoints:
        return checkpoints[0][1].config
    t, h, w, _ = clip.frames.shape
    return FULL.switch(ModelConfig.compact(num_frames=t, image_size=(h, w), kernel=16, stride=14, padding=8))


def _build(
    config: ModelConfig, seed: int, donor: VideoTransformer | None = None
) -> tuple[VideoTransformer, list[str]]:
    """Make a model whose weights are the donor's where it has them in this shape, and name those that are random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VideoTransformer(config).eval()
    shared, own = {} if donor is None else donor.state_dict(), model.state_dict()
    fitting = {name: shared[name] for name in own if name in shared and shared[name].shape == own[name].shape}
    model.load_state_dict({**own, **fitting})
    return model, [name for name in own if name not in fitting]


def _origin(name: str, seed: int, *, trained: bool, fresh: Sequence[str]) -> tuple[str, str]:
    if trained:
        return "trained", f"trained: the weights of {name}"
    if not name:
        return "random weights", f"random weights, seed {seed}"
    if any("fixation" in each for each in fresh):
        words = f"the weights of {name} with the mechanism switched; its fixation layers are random, seed {seed}"
        return "not trained so, random fixation", f"{words}; not trained so"
    if fresh:
        words = f"the weights of {name} with the mechanism switched; what it alone has is as at the start, seed {seed}"
        return "not trained so", f"{words}; not trained so"
    return "not trained so", f"the weights of {name} with the mechanism switched; not trained so"


def _check(checkpoints: Sequence[Checkpoint]) -> None:
    """Refuse checkpoints that differ in more than the mechanism, and two of the same mechanism."""
    own: dict[Mechanism, str] = {}
    first, size = next(((name, model.config.to_dict()) for name, model in checkpoints), ("", {}))
    for name, model in checkpoints:
        for field, value in model.config.to_dict().items():
            if field not in SWITCHED and value != size[field]:
                raise ValueError(f"{first} and {name} differ in {field}, {size[field]} and {value}: compare one size")
        mechanism = Mechanism.of(model.config)
        if mechanism in own:
            raise ValueError(
                f"{own[mechanism]} and {name} both hold {mechanism_name(model.config)!r}: pass one for each mechanism"
            )
        own[mechanism] = name
