"""Looking inside a network: its filters, its maps, and what in a picture made it decide."""
