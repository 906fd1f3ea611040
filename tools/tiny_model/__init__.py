"""Parts of make_tiny_model: written-out arithmetic, tokenizer, network, warm-up."""
