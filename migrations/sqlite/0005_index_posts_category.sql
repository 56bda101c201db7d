CREATE INDEX IF NOT EXISTS ix_posts_category ON posts (category_id, status, No)
