"""Learning from people's scores: prompts, words and heads, each by one function, on image features that are stored."""
