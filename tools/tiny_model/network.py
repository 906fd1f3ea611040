"""A small Qwen3 and its tokenizer.

The tokenizer gives one token per digit and never joins text across `\\boxed{`, so a boxed answer has the same ids alone as
at the end of a response. The embedding has more rows than the tokenizer has tokens: the spare ids are never trained on.
"""

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

END, PAD = "<|im_end|>", "<|endoftext|>"
_PIECES = Regex(r"\\boxed\{|\}|\d| [+=-] ?|\. ?| ?[A-Za-z]+|\s+|[^\sA-Za-z\d}]")


def make_tokenizer(texts: list[str], *, max_context: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE over `texts`; every text round-trips, unseen characters included."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(_PIECES, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384, special_tokens=[PAD, END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, model_max_length=max_context, clean_up_tokenization_spaces=False
    )


def make_network(
    tokenizer: PreTrainedTokenizerFast, *, hidden: int, layers: int, vocabulary: int, max_context: int, seed: int
) -> Qwen3ForCausalLM:
    """fp32, tied embeddings, 4 query heads and 2 kv heads of 32. Matrices start at std 1/sqrt(hidden), the two that write to the
    residual stream at a third of that: a net this small learns to copy far sooner than from the usual 0.02.
    """
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=max_context,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        dtype="float32",
    )
    model = Qwen3ForCausalLM(config)
    random = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            writes = name.endswith(("o_proj.weight", "down_proj.weight"))
            torch.nn.init.normal_(parameter, std=hidden**-0.5 / (3 if writes else 1), generator=random)
    return model
