"""The records that go between rooms: data sets (`data`), problems, settings and points (`run`), `outcome`, stored ones (`shapes`)."""
