"""Work with files: safe writing, locks, names, hashes, journals and YAML."""
