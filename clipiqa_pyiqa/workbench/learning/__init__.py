"""Learning from people's scores: prompts and heads."""
