"""Results by shard: a Parquet file for each shard of images, whoever scores it, and what is made of them."""
