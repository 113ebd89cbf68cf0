"""The paper's experiments, each one function whose result has ``.save(folder)``."""
