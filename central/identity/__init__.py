"""Certificates: who a caller is, and how a center, a site, an operator and a reader get theirs."""
