-- Without content: what it told was forgotten. The version that stays refuses drafts made before.
ALTER TABLE memory.summaries ALTER COLUMN content DROP NOT NULL;
