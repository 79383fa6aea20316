"""From an archive's manifest to training shards, and reading them back."""
