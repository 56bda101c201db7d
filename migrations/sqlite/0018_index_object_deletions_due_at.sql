CREATE INDEX IF NOT EXISTS ix_object_deletions_due_at ON object_deletions (due_at)
