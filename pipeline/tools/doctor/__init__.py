"""What is wrong with a data set, before anything is made of it; run by examine.py."""
