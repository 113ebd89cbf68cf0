"""Whether the weights and prompts at hand give the published values."""
