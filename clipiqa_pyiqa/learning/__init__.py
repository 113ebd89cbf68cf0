"""Learning from people's scores: prompts, words and heads."""
