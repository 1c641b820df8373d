"""Files: written whole or not at all, read with checks, damage recognised, the cache."""
