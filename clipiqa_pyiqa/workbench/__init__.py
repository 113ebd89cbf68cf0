"""The workbench: reads and writes users' files, compares, reports, and is the command line."""
