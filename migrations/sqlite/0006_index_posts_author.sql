CREATE INDEX IF NOT EXISTS ix_posts_author ON posts (user_id, status, No)
