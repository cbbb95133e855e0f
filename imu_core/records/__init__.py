"""What goes between rooms: data sets (`data`), problems, settings and points (`run`), `outcome`, stored records (`shapes`)."""
