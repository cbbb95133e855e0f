"""What belongs to a visitor: runs, links, what is stored and what goes on."""
