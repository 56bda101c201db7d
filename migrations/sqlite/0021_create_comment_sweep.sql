-- How far the comment counts of adopted posts have been asked for; nothing is adopted into SQLite,
-- so this is done from the start (0).
CREATE TABLE IF NOT EXISTS comment_sweep (
    id        INTEGER NOT NULL PRIMARY KEY,
    before_no INTEGER NULL
)
