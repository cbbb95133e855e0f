"""Sentences, number formats and exports of results."""
