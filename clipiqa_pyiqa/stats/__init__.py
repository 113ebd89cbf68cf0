"""Statistics: correlations with human scores, logistic fits, shares and paired differences, with intervals."""
