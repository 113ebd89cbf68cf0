"""Training on tensors: recipes, learned prompts, and fits of heads."""
