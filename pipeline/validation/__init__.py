"""Is the data what it should be? Schema, anomalies, drift, skew, leakage; a report for people."""
