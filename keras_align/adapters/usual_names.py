"""The names under which attention classes usually keep what an adapter looks for."""

PROJECTIONS = (
    ("query_dense", "key_dense"),
    ("_query_dense", "_key_dense"),
    ("q_dense", "k_dense"),
    ("q_proj", "k_proj"),
    ("query_proj", "key_proj"),
    ("query_projector", "key_projector"),
    ("query_projection", "key_projection"),
    ("query", "key"),
    ("wq", "wk"),
    ("q", "k"),
)
NUM_HEADS = (
    "num_query_heads",
    "_num_query_heads",
    "num_attention_heads",
    "num_heads",
    "_num_heads",
    "heads",
)
NUM_KEY_HEADS = (
    "effective_num_kv_heads",
    "num_key_value_heads",
    "_num_key_value_heads",
    "num_kv_heads",
)
HEAD_SIZE = ("head_dim", "_head_dim", "head_size", "attn_head_size", "key_dim")
