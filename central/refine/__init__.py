"""Federated rounds, the center's half: adapters are refined, and nets founded, where the data are."""
