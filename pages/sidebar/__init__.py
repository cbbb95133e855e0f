"""The sidebar: the problem that every page is about."""
