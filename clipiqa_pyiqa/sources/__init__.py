"""Where images come from: files, folders, tar archives, Parquet files, embeddings; on disk or in a store."""
