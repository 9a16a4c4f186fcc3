"""Arguments with which tests call the rivals: q, k, v and the further constants of each function."""

import torch

from linvid_edu.attention import rivals
from linvid_edu.shapes import Grid


def grid_of(n):
    """Return t, h, w with n = t · h · w, and more than one frame if 3 divides n."""
    t = 3 if n % 3 == 0 else 1
    h = 2 if n // t % 2 == 0 else 1
    return t, h, n // (t * h)


def constants(name, b, heads, n, d):
    """Return the arguments of a rival beside q, k and v, for n tokens."""
    t, h, w = grid_of(n)
    landmarks = next(count for count in (4, 3, 2, 1) if n % count == 0)
    index = torch.stack([torch.randperm(n)[:landmarks] for _ in range(b * heads)]).reshape(b, heads, landmarks)
    makers = {
        "elu_linear": lambda: {"eps": 1e-3},
        "sana_relu_linear": lambda: {"eps": 1e-3},
        "performer": lambda: {"projection": rivals.orthogonal_projection(2 * d + 1, d), "feature_offset": 1e-3},
        "cosformer": lambda: {"floor": 1e-3},
        "focused_linear": lambda: {
            "scale": torch.randn(heads, d),
            "focusing_factor": 2.5,
            "convolution": rivals.DepthwiseWeights(torch.randn(d, 3, 3), torch.randn(d)),
            "grid": Grid(h * t, w),
        },
        "sana_video_attention": lambda: {"t": t, "h": h, "w": w, "theta": 100.0, "eps": 1e-3},
        "sana_block_causal": lambda: {
            "t": t,
            "h": h,
            "w": w,
            "block_starts": [0, 1, 2][:t],
            "theta": 100.0,
            "eps": 1e-3,
        },
        "nystrom": lambda: {"num_landmarks": landmarks},
        "orthoformer": lambda: {"landmark_index": index},
        "shuffle_window": lambda: {
            "relative_bias": torch.randn(1, heads),
            "h": h * t,
            "w": w,
            "window": 1,
            "shuffle": True,
        },
        "dynamic_window_attention": lambda: {
            "relative_bias": torch.randn(9, heads),
            "h": h * t,
            "w": w,
            "windows": [2],
            "shifts": [1],
        },
    }
    return makers[name]() if name in makers else {}


def of_map(arguments):
    """Return the arguments of an explicit map: those of its function without values and their convolution."""
    return {name: value for name, value in arguments.items() if name not in ("v", "convolution", "grid")}
