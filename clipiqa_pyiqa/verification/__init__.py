"""Whether the weights and prompts at hand give the published values: ``scores.verify`` and
``learned_prompts.verify_learned_prompts``."""
