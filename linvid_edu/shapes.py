"""Shape annotations such as ``Float[Tensor, "b t n d"]``, used as the signature's shape contract.

The axis vocabulary, everywhere in this package:

====== =====================================================
letter meaning
====== =====================================================
b      clips in a batch
c      color channels of a video
t      frames of a clip
h, w   height and width, in pixels or in tokens of one frame
n      tokens of one frame, n = h * w of the token grid
d      model width (channels of a token, over all heads)
heads  attention heads
e      head width, e = d / heads
====== =====================================================

The annotations come from jaxtyping and are checked at run time in the tests only. Where jaxtyping is not
installed they stand for the plain tensor type, so that the library needs torch, einops and numpy alone.
"""

try:
    from jaxtyping import Bool, Float, Int, UInt8
except ImportError:

    class _Unchecked:
        def __class_getitem__(cls, item: tuple) -> type:
            return item[0]

    Bool = Float = Int = UInt8 = _Unchecked  # type: ignore[assignment, misc]

__all__ = ["Bool", "Float", "Int", "UInt8"]
