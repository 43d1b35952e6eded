"""The built-in alignments by the names that `alignment=` accepts."""

import keras_align

CLASSES = {
    "ct": keras_align.ConditionalTransportAlignment,
    "gan": keras_align.AdversarialAlignment,
    "mmd": keras_align.MaximumMeanDiscrepancyAlignment,
    "ot": keras_align.OptimalTransportAlignment,
}
