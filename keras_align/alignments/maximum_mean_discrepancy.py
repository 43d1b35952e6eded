"""Matching by the maximum mean discrepancy itself."""

from keras_align import divergences
from keras_align.alignments.alignment import Alignment, register_alignment


@register_alignment("mmd")
class MaximumMeanDiscrepancyAlignment(Alignment):
    """Maximum mean discrepancy alignment."""

    def __init__(self, bandwidth=1.0, **kwargs):
        super().__init__(**kwargs)
        self.bandwidth = bandwidth

    def call(self, query, key, query_mask=None, key_mask=None):
        return divergences.maximum_mean_discrepancy(
            query, key, query_mask, key_mask, bandwidth=self.bandwidth
        )

    def get_config(self):
        return {**super().get_config(), "bandwidth": self.bandwidth}
