"""The attention classes of keras-hub, by name, so that it need not be installed."""

from keras_align.adapters.adapter import AttentionAdapter
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

_USUAL = AttentionAdapter()
_WITHOUT_MASK = AttentionAdapter(mask=None)
_FUSED = FusedProjectionAdapter(mask=None)
_MODELS = {
    "bloom.bloom_attention.BloomAttention": _USUAL,
    "d_fine.d_fine_attention.DFineMultiheadAttention": _WITHOUT_MASK,
    "deberta_v3.disentangled_self_attention.DisentangledSelfAttention": _USUAL,
    "dinov3.dinov3_layers.DINOV3Attention": ResultAdapter("_apply_rotary"),
    "esm.esm_attention.EsmSelfAttention": ResultAdapter("rotary_embedding_layer.call"),
    "falcon.falcon_attention.FalconAttention": _USUAL,
    "gemma.gemma_attention.CachedGemmaAttention": _USUAL,
    "gemma3.gemma3_attention.CachedGemma3Attention": _USUAL,
    "gemma3.gemma3_vision_encoder.Gemma3VisionAttention": _WITHOUT_MASK,
    "gemma3n.gemma3n_attention.Gemma3nTextAttention": AttentionAdapter(
        heads_first=True
    ),
    "gemma4.gemma4_attention.Gemma4TextAttention": SharedKeysAdapter(),
    "gemma4.gemma4_attention.Gemma4VisionAttention": _USUAL,
    "gpt_neo_x.gpt_neo_x_attention.GPTNeoXAttention": FusedProjectionAdapter(
        "_qkv_dense"
    ),
    "gpt_oss.gpt_oss_attention.GptOssAttention": _USUAL,
    "llama.llama_attention.LlamaAttention": _USUAL,
    "mistral.mistral_attention.CachedMistralAttention": _USUAL,
    "mit.mit_layers.SegFormerMultiheadAttention": _WITHOUT_MASK,
    "mixtral.mixtral_attention.CachedMixtralAttention": _USUAL,
    "mobilenetv5.mobilenetv5_attention.MultiQueryAttention2d": (
        MultiQueryConvolutionAdapter(mask=None)
    ),
    "moonshine.moonshine_multi_head_attention.MoonshineMultiHeadAttention": _USUAL,
    "pali_gemma.pali_gemma_vit.PaliGemmaVitAttention": _WITHOUT_MASK,
    "phi3.phi3_attention.Phi3Attention": _USUAL,
    "qwen.qwen_attention.QwenAttention": _USUAL,
    "qwen3.qwen3_attention.Qwen3Attention": _USUAL,
    "qwen3_5.qwen3_5_attention.Qwen3_5Attention": _USUAL,
    "qwen3_moe.qwen3_moe_attention.Qwen3MoeAttention": _USUAL,
    "qwen_moe.qwen_moe_attention.QwenMoeAttention": _USUAL,
    "roformer_v2.roformer_v2_attention.RoformerAttention": ResultAdapter(
        "rotary_embedding_layer.call"
    ),
    "sam.sam_layers.MultiHeadAttentionWithDownsampling": _WITHOUT_MASK,
    "sam3.sam3_layers.SAM3Attention": _USUAL,
    "sam3.sam3_layers.SAM3RoPEAttention": ResultAdapter("apply_rotary_pos_emb_2d"),
    "smollm3.smollm3_layers.SmolLM3Attention": _USUAL,
    "stable_diffusion_3.mmdit.MMDiTBlock": JointAttentionAdapter(
        mask=None, key_source=None
    ),
    "swin_transformer.swin_transformer_layers.WindowAttention": _FUSED,
    "t5.t5_multi_head_attention.T5MultiHeadAttention": AttentionAdapter(
        head_size="key_value_dim", mask="mask"
    ),
    "t5gemma.t5gemma_attention.T5GemmaAttention": EncoderDecoderAdapter(
        additive_mask=True
    ),
    "t5gemma2.t5gemma2_attention.T5Gemma2Attention": AttentionAdapter(
        additive_mask=True
    ),
    "t5gemma2.t5gemma2_attention.T5Gemma2MergedAttention": MergedAttentionAdapter(
        additive_mask=True
    ),
    "video_prism.video_prism_layers.VideoPrismAttention": ScaledQueryAdapter(),
    "vit_det.vit_layers.MultiHeadAttentionWithRelativePE": _FUSED,
    "whisper.whisper_cached_multi_head_attention.WhisperCachedMultiHeadAttention": (
        _USUAL
    ),
    "xlnet.relative_attention.TwoStreamRelativeAttention": RelativePositionAdapter(
        mask="query_attention_mask"  # the other lets padding see itself
    ),
}
_LAYERS = {
    "modeling.cached_multi_head_attention.CachedMultiHeadAttention": _USUAL,
}
ADAPTERS = {
    **{f"keras_hub.src.models.{name}": x for name, x in _MODELS.items()},
    **{f"keras_hub.src.layers.{name}": x for name, x in _LAYERS.items()},
}
