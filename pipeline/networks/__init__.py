"""From a recipe or a finished training to a network in memory."""
