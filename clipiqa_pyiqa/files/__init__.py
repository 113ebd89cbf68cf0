"""Files: opened, hashed, written whole or not at all, and named as terminals can show it."""
