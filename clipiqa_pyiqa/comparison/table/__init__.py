"""Several methods in one table: means, best and second best, paired differences."""
