CREATE INDEX IF NOT EXISTS ix_deactivations_due ON deactivations (finished_at, due_at)
