"""Any metric: named, built, and grouped by shared encoding."""
