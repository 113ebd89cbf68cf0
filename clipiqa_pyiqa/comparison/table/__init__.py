"""Several methods in one table, as restoration papers print it: means, best and second best, paired differences."""
