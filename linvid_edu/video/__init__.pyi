from .cielab import (
    from_lab as from_lab,
)
from .cielab import (
    paint as paint,
)
from .cielab import (
    to_lab as to_lab,
)
from .clip import (
    Clip as Clip,
)
from .clip import (
    normalize as normalize,
)
from .opening import (
    VideoError as VideoError,
)
from .opening import (
    VideoWarning as VideoWarning,
)
from .photographs import load_photographs as load_photographs
from .reading import (
    load_clip as load_clip,
)
from .reading import (
    stream_frames as stream_frames,
)
from .reading import (
    video_facts as video_facts,
)
from .recoloring import (
    augment as augment,
)
from .recoloring import (
    flip_frames as flip_frames,
)
from .recoloring import (
    recolor as recolor,
)
from .recoloring import (
    reverse_time as reverse_time,
)
from .recoloring import (
    turn_colors as turn_colors,
)
from .recoloring import (
    vary_lightness as vary_lightness,
)
from .sample_objects import known_class as known_class
from .sample_objects import known_objects as known_objects
from .samples import encode as encode
from .scenes import (
    CueLookup as CueLookup,
)
from .scenes import (
    CueMatch as CueMatch,
)
from .scenes import (
    Flash as Flash,
)
from .scenes import (
    Motion as Motion,
)
from .scenes import (
    render as render,
)
from .scenes import (
    role_mask as role_mask,
)
from .tokens import (
    PatchEmbedding as PatchEmbedding,
)
from .tokens import (
    color_tokens as color_tokens,
)
from .tokens import (
    from_patches as from_patches,
)
from .tokens import (
    from_tubelets as from_tubelets,
)
from .tokens import (
    patch_boxes as patch_boxes,
)
from .tokens import (
    patch_grid as patch_grid,
)
from .tokens import (
    to_patches as to_patches,
)
from .tokens import (
    to_tubelets as to_tubelets,
)
from .virtual_camera import virtual_clips as virtual_clips
