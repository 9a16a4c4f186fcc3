from .color_page import (
    color_numbers as color_numbers,
)
from .color_page import (
    load_color_clip as load_color_clip,
)
from .color_page import (
    paint_clip as paint_clip,
)
from .explain_page import (
    answering_models as answering_models,
)
from .explain_page import (
    explain as explain,
)
from .explain_page import (
    explanation_pictures as explanation_pictures,
)
from .plots import (
    attention_heatmap as attention_heatmap,
)
from .plots import (
    attention_strip as attention_strip,
)
from .plots import (
    attention_strips as attention_strips,
)
from .plots import (
    bars as bars,
)
from .plots import (
    curves as curves,
)
from .plots import (
    dots as dots,
)
from .plots import (
    film_strip as film_strip,
)
from .plots import (
    heatmap as heatmap,
)
from .plots import (
    histograms as histograms,
)
from .plots import (
    magnified_patch as magnified_patch,
)
from .plots import (
    matrix_product_sizes as matrix_product_sizes,
)
from .stream_page import (
    watch as watch,
)
from .stream_page import (
    watched_pictures as watched_pictures,
)
