"""The private names of Keras's attention layers."""

# The method of both layers, and of most of keras-hub's, that is given the projected
# queries and keys. Keras uses its causal kernel only where no class overrides it.
COMPUTE_ATTENTION = "_compute_attention"
# The projections of `GroupQueryAttention`; those of `MultiHeadAttention` are public.
PROJECTIONS = ("_query_dense", "_key_dense")
