"""Who may see, change, read and keep what on a server: the owner's rules, visitors, limits."""
