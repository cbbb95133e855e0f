"""What goes between packages: data sets (`data`), problems, settings and points (`run`), `outcome`, stored records (`shapes`)."""
