"""The paper's experiments: functions whose result has ``.save(folder)``."""
