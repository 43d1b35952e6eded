"""The attention classes of keras-hub, by name, so that it need not be installed."""

from keras_align.adapters.adapter import AttentionAdapter
from keras_align.adapters.symmetries import (
    CONVOLUTIONS,
    FULL,
    JOINT,
    NORMALIZED,
    RELATIVE,
    ROTARY,
    SCALE,
    SCALED,
)
from keras_align.adapters.variants import (
    EncoderDecoderAdapter,
    FusedProjectionAdapter,
    JointAttentionAdapter,
    MergedAttentionAdapter,
    MultiQueryConvolutionAdapter,
    RelativePositionAdapter,
    ResultAdapter,
    ScaledQueryAdapter,
    SharedKeysAdapter,
)

_FULL = AttentionAdapter(symmetry=FULL)
_ROTARY = AttentionAdapter(symmetry=ROTARY)
_SCALE = AttentionAdapter(symmetry=SCALE)
_NORMALIZED = AttentionAdapter(symmetry=NORMALIZED)
_RELATIVE = AttentionAdapter(symmetry=RELATIVE)
_WITHOUT_MASK = AttentionAdapter(mask=None, symmetry=FULL)
_CONVOLUTION = MultiQueryConvolutionAdapter(mask=None, symmetry=CONVOLUTIONS)
_MODELS = {
    "bloom.bloom_attention.BloomAttention": _FULL,
    "d_fine.d_fine_attention.DFineMultiheadAttention": _WITHOUT_MASK,
    "deberta_v3.disentangled_self_attention.DisentangledSelfAttention": _RELATIVE,
    "dinov3.dinov3_layers.DINOV3Attention": ResultAdapter(
        "_apply_rotary", symmetry=SCALE
    ),
    "esm.esm_attention.EsmSelfAttention": ResultAdapter(
        "rotary_embedding_layer.call", symmetry=ROTARY
    ),
    "falcon.falcon_attention.FalconAttention": _FULL,
    "gemma.gemma_attention.CachedGemmaAttention": _SCALE,
    "gemma3.gemma3_attention.CachedGemma3Attention": _NORMALIZED,
    "gemma3.gemma3_vision_encoder.Gemma3VisionAttention": _WITHOUT_MASK,
    "gemma3n.gemma3n_attention.Gemma3nTextAttention": AttentionAdapter(
        heads_first=True, symmetry=NORMALIZED
    ),
    "gemma4.gemma4_attention.Gemma4TextAttention": SharedKeysAdapter(
        symmetry=NORMALIZED
    ),
    "gemma4.gemma4_attention.Gemma4VisionAttention": _NORMALIZED,
    "gpt_neo_x.gpt_neo_x_attention.GPTNeoXAttention": FusedProjectionAdapter(
        "_qkv_dense", by_head=True, symmetry=SCALE
    ),
    "gpt_oss.gpt_oss_attention.GptOssAttention": _ROTARY,
    "llama.llama_attention.LlamaAttention": _ROTARY,
    "mistral.mistral_attention.CachedMistralAttention": _ROTARY,
    "mit.mit_layers.SegFormerMultiheadAttention": _WITHOUT_MASK,
    "mixtral.mixtral_attention.CachedMixtralAttention": _ROTARY,
    "mobilenetv5.mobilenetv5_attention.MultiQueryAttention2d": _CONVOLUTION,
    "moonshine.moonshine_multi_head_attention.MoonshineMultiHeadAttention": _SCALE,
    "pali_gemma.pali_gemma_vit.PaliGemmaVitAttention": _WITHOUT_MASK,
    "phi3.phi3_attention.Phi3Attention": _ROTARY,
    "qwen.qwen_attention.QwenAttention": _ROTARY,
    "qwen3.qwen3_attention.Qwen3Attention": _NORMALIZED,
    "qwen3_5.qwen3_5_attention.Qwen3_5Attention": _NORMALIZED,
    "qwen3_moe.qwen3_moe_attention.Qwen3MoeAttention": _NORMALIZED,
    "qwen_moe.qwen_moe_attention.QwenMoeAttention": _ROTARY,
    "roformer_v2.roformer_v2_attention.RoformerAttention": ResultAdapter(
        "rotary_embedding_layer.call", symmetry=SCALE
    ),
    "sam.sam_layers.MultiHeadAttentionWithDownsampling": _WITHOUT_MASK,
    "sam3.sam3_layers.SAM3Attention": _FULL,
    "sam3.sam3_layers.SAM3RoPEAttention": ResultAdapter(
        "apply_rotary_pos_emb_2d", symmetry=SCALE
    ),
    "smollm3.smollm3_layers.SmolLM3Attention": _SCALE,
    "stable_diffusion_3.mmdit.MMDiTBlock": JointAttentionAdapter(
        mask=None, key_source=None, symmetry=JOINT
    ),
    "swin_transformer.swin_transformer_layers.WindowAttention": FusedProjectionAdapter(
        mask=None, symmetry=FULL
    ),
    "t5.t5_multi_head_attention.T5MultiHeadAttention": AttentionAdapter(
        head_size="key_value_dim", mask="mask", symmetry=FULL
    ),
    "t5gemma.t5gemma_attention.T5GemmaAttention": EncoderDecoderAdapter(
        additive_mask=True, symmetry=SCALE
    ),
    "t5gemma2.t5gemma2_attention.T5Gemma2Attention": AttentionAdapter(
        additive_mask=True, symmetry=NORMALIZED
    ),
    "t5gemma2.t5gemma2_attention.T5Gemma2MergedAttention": MergedAttentionAdapter(
        additive_mask=True, symmetry=NORMALIZED
    ),
    "video_prism.video_prism_layers.VideoPrismAttention": ScaledQueryAdapter(
        symmetry=SCALED
    ),
    "vit_det.vit_layers.MultiHeadAttentionWithRelativePE": FusedProjectionAdapter(
        mask=None, symmetry=RELATIVE
    ),
    "whisper.whisper_cached_multi_head_attention.WhisperCachedMultiHeadAttention": (
        _FULL
    ),
    "xlnet.relative_attention.TwoStreamRelativeAttention": RelativePositionAdapter(
        mask="query_attention_mask",  # the other lets padding see itself
        symmetry=RELATIVE,
    ),
}
_LAYERS = {
    "modeling.cached_multi_head_attention.CachedMultiHeadAttention": _FULL,
}
ADAPTERS = {
    **{f"keras_hub.src.models.{name}": x for name, x in _MODELS.items()},
    **{f"keras_hub.src.layers.{name}": x for name, x in _LAYERS.items()},
}
