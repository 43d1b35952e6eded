"""Pictures of keys and queries, of attention weights, of training and calibration.

Every function that draws returns a `matplotlib.figure.Figure` that belongs to the
caller: it is neither shown nor registered with `matplotlib.pyplot`, and no global
setting is touched. Save it with `figure.savefig("name.png", dpi=150)`; in a notebook,
end the cell with it. Matplotlib, scikit-learn and PyTorch are imported only when a
function needs them.
"""

from keras_align.visualization.alignment import plot_alignment
from keras_align.visualization.attention import plot_attention
from keras_align.visualization.head_grid import plot_head_grid
from keras_align.visualization.history import plot_history
from keras_align.visualization.query_key import plot_query_key
from keras_align.visualization.reliability import plot_reliability
from keras_align.visualization.to_bertviz import to_bertviz

__all__ = [
    "plot_alignment",
    "plot_attention",
    "plot_head_grid",
    "plot_history",
    "plot_query_key",
    "plot_reliability",
    "to_bertviz",
]
