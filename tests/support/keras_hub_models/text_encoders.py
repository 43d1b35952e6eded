"""Text encoders: small models of random weights, and inputs."""

from keras_hub_models.inputs import DIM, VOCAB, T, bert_like, ids, segments, text


def albert():
    model = bert_like(
        "AlbertBackbone",
        vocabulary_size=VOCAB,
        num_groups=1,
        num_inner_repetitions=1,
        embedding_dim=8,
        max_sequence_length=T,
    )
    return model, text(segment_ids=segments())


def bert():
    model = bert_like("BertBackbone", vocabulary_size=VOCAB, max_sequence_length=T)
    return model, text(segment_ids=segments())


def electra():
    model = bert_like(
        "ElectraBackbone", vocab_size=VOCAB, embedding_dim=8, max_sequence_length=T
    )
    return model, text(segment_ids=segments())


def roberta():
    model = bert_like("RobertaBackbone", vocabulary_size=VOCAB, max_sequence_length=T)
    return model, text()


def xlm_roberta():
    model = bert_like(
        "XLMRobertaBackbone", vocabulary_size=VOCAB, max_sequence_length=T
    )
    return model, text()


def distil_bert():
    model = bert_like(
        "DistilBertBackbone", vocabulary_size=VOCAB, max_sequence_length=T
    )
    return model, text()


def deberta_v3():
    model = bert_like(
        "DebertaV3Backbone",
        vocabulary_size=VOCAB,
        max_sequence_length=T,
        bucket_size=4,
    )
    return model, text()


def roformer_v2():  # padding is token id 0, there is no padding_mask input
    model = bert_like("RoformerV2Backbone", vocabulary_size=VOCAB, head_size=8)
    return model, {"token_ids": ids(), "segment_ids": segments()}


def esm():  # padding is `pad_token_id` (0), there is no padding_mask input
    from keras_hub.src.models.esm.esm_backbone import ESMBackbone

    model = ESMBackbone(
        vocabulary_size=VOCAB,
        num_layers=2,
        num_heads=2,
        hidden_dim=DIM,
        intermediate_dim=2 * DIM,
    )
    return model, {"token_ids": ids()}


def xlnet():
    model = bert_like("XLNetBackbone", vocabulary_size=VOCAB)
    return model, text(segment_ids=segments())
