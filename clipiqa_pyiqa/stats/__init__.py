"""Statistics with intervals: correlations, logistic fits, shares and paired differences."""
