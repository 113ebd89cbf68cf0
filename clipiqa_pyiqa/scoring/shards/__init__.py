"""Results by shard: one Parquet file for each shard of images."""
