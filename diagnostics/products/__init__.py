"""What analysts take away: the DuckDB file, the layers of a CLS, its data package, and the proof that it rebuilds."""
