"""Pictures of keys and queries, of attention weights and of calibration.

Every function returns a `matplotlib.figure.Figure` that belongs to the caller: it is
neither shown nor registered with `matplotlib.pyplot`, and no global setting is
touched. Save it with `figure.savefig("name.png", dpi=150)`; in a notebook, end the
cell with it. Matplotlib and scikit-learn are imported only when a picture is drawn.
"""

from keras_align.visualization.attention import plot_attention
from keras_align.visualization.query_key import plot_query_key
from keras_align.visualization.reliability import plot_reliability

__all__ = ["plot_attention", "plot_query_key", "plot_reliability"]
