"""From references to record shards: the plan, the Beam job, one shard at a time."""
