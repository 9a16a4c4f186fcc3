"""Figures of the course: arrays in, a Picture out. Nothing here sees a model or needs a network."""

from .charts import bars, curves
from .dots import dots, scatter
from .frames import film_strip, magnified_patch
from .histograms import histograms
from .matrices import attention_heatmap, heatmap
from .neighbors import channel_sources
from .picture import Picture
from .ratios import fixation_ratios
from .sizes import matrix_product_sizes
from .strips import attention_strip, attention_strips

__all__ = [
    "Picture",
    "attention_heatmap",
    "attention_strip",
    "attention_strips",
    "bars",
    "channel_sources",
    "curves",
    "dots",
    "film_strip",
    "fixation_ratios",
    "heatmap",
    "histograms",
    "magnified_patch",
    "matrix_product_sizes",
    "scatter",
]
