"""`convoy tune`: values of a recipe's keys, searched by training with them."""
