"""`transplant-central backup` and `restore`: a whole center in one folder or file, and back."""
