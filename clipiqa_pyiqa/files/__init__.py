"""Files of the package: written whole, by one run at a time, and known by their hashes."""
