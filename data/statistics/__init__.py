"""Statistics of records: one Beam pass, partial results that merge exactly, tensorflow-metadata."""
