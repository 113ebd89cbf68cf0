"""Whether a second run over the same inputs got worse."""
