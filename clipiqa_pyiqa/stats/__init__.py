"""Numbers in, numbers out: correlations with opinion, logistic fits, shares and paired differences, with intervals."""
