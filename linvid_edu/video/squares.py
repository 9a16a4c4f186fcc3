"""From a decoded frame to an upright square of RGB values, as a player shows it."""

import math
from fractions import Fraction
from typing import Any

import av.filter
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc
from av.video.stream import VideoStream

DEFAULT_TIME_BASE = Fraction(1, 25)  # seconds
MAX_ASPECT = 8  # longer side / shorter side; more elongated frames are cropped before resizing, to save memory
HIGH_DYNAMIC_RANGE = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)  # PQ and HLG


class Squares:
    """Turn the frames of one video into squares; all of them are rotated like the first.

    Args:
        size: Height and width of the squares in pixels.
        stream: Stream of the video; None if each frame is a picture of its own.
    """

    def __init__(self, size: int, stream: VideoStream | None = None) -> None:
        self._size, self._aspect = size, float((stream and stream.sample_aspect_ratio) or 1)
        self._rotation: np.ndarray | None = None
        self._per_frame = stream is None
        self._any_frame = False

    def of(self, frame: VideoFrame) -> np.ndarray:
        """Return the center of a frame.

        A frame of two interlaced fields is deinterlaced, colors of high dynamic range (PQ, HLG) are mapped to BT.709,
        pixels are made square, the shorter side is resized, and the center is cropped and rotated upright.

        Args:
            frame: Decoded frame.

        Returns:
            RGB values, 0 to 255, (size size 3).
        """
        if not self._any_frame or self._per_frame:  # side data has a reference cycle that delays freeing the frame
            self._rotation, self._any_frame = _display_matrix(frame), True
        size, aspect = self._size, self._aspect
        if frame.interlaced_frame:
            frame = _deinterlaced(frame)
        colors: dict[str, Any] = {"dst_color_range": "JPEG"}
        if frame.color_trc in HIGH_DYNAMIC_RANGE:
            colors |= {"dst_color_trc": ColorTrc.BT709, "dst_color_primaries": ColorPrimaries.BT709}
        short = min(frame.width * aspect, frame.height)
        if max(frame.width * aspect, frame.height) > MAX_ASPECT * short:
            longest = MAX_ASPECT * short
            pixels = frame.reformat(format="rgb24", dst_colorspace="DEFAULT", **colors).to_ndarray()
            cropped = _center(pixels, math.ceil(longest), math.ceil(longest / aspect))
            frame, colors = VideoFrame.from_ndarray(cropped, format="rgb24"), {"dst_color_range": "JPEG"}
        width, height = (max(size, round(side * size / short)) for side in (frame.width * aspect, frame.height))
        # swscale halves the color resolution for packed RGB, not for planar RGB
        resized = frame.reformat(width, height, "gbrp", interpolation="BICUBIC", dst_colorspace="DEFAULT", **colors)
        square = _center(resized.to_ndarray(), size, size)
        return square if self._rotation is None else np.ascontiguousarray(_upright(square, self._rotation))


def _deinterlaced(frame: VideoFrame) -> VideoFrame:
    """Return a frame whose second field is interpolated from the first, without the frames around it."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or DEFAULT_TIME_BASE
    )
    graph.link_nodes(source, graph.add("estdif", "mode=frame:deint=all"), graph.add("buffersink")).configure()
    graph.push(frame)
    graph.push(None)
    result = graph.pull()
    assert isinstance(result, VideoFrame)
    return result


def _display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """Return the display matrix of a frame; None if the frame is upright."""
    try:
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV has no name for a kind of data beside the frame, such as EXIF
        turns = frame.rotation % 360 // 90
        cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[turns]
        return None if turns == 0 else np.array([cosine, -sine, 0, sine, cosine, 0, 0, 0, 1], dtype=np.int32)
    return None if matrix is None else np.frombuffer(bytes(matrix), dtype=np.int32)


def _center(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Copy the center of a picture, at most ``height`` × ``width`` pixels."""
    top, left = max(0, pixels.shape[0] - height) // 2, max(0, pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width].copy()


def _upright(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Rotate a picture by quarter turns and mirror it, following a display matrix (a, b, u, c, d, v, x, y, w).

    x′ = a · x + c · y, y′ = b · x + d · y
    """
    a, b, c, d = matrix[[0, 1, 3, 4]]
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
