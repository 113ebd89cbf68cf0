"""Learning from people's scores: prompts, words and heads, on stored image features."""
