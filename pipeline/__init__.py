"""Everything that runs: recipe, components, trainer, evaluator, command line."""
