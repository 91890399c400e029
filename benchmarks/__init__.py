"""The measuring side: runs the system as a user would and writes down what happened."""
