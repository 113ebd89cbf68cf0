"""Statistics of scores and opinions: correlations, shares and their intervals. Numbers in, numbers out."""
