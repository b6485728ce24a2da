"""The one table: rows by family, one RocksDB a partition, written in batches, recovered by merging."""
