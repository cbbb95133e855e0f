"""The tables and figures of the paper, one file a group."""
