"""Brings a model here: it is fetched or converted, checked, and put into the store."""
