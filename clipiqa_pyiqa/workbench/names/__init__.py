"""Names of images: in shards, and in several runs and folders."""
