-- Accesses and decay rewrite columns that no index holds: with room in the page the new row needs no index entries.
ALTER TABLE memory.memories SET (fillfactor = 85);
