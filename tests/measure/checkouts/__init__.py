"""Two checkouts of the package, run on the same inputs and compared."""
