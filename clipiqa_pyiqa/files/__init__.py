"""Files of our own: written whole or not at all, one run at a time, and known by their hashes."""
