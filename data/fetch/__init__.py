"""Public data sets by name: addresses, checksums, resumable downloads."""
