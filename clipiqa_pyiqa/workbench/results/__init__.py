"""Results: the memory of a run, which is the file that people see."""
