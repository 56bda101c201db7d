-- Objects whose post or medium is gone: written in the transaction that removed them, deleted from
-- the store afterwards, as often as it takes.
CREATE TABLE IF NOT EXISTS object_deletions (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    object_key TEXT    NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    due_at     TEXT    NOT NULL
)
