-- Posts. Times are naive KST, `YYYY-MM-DDTHH:MM:SS`.
CREATE TABLE IF NOT EXISTS posts (
    id            TEXT    NOT NULL PRIMARY KEY,
    No            INTEGER NOT NULL UNIQUE,
    username      TEXT    NOT NULL,
    user_id       TEXT    NULL,
    category      TEXT    NOT NULL,
    category_id   TEXT    NULL REFERENCES categories (id),
    title         TEXT    NOT NULL,
    content       TEXT    NOT NULL,
    view_count    INTEGER NOT NULL DEFAULT 0,
    like_count    INTEGER NOT NULL DEFAULT 0,
    comment_count INTEGER NOT NULL DEFAULT 0,
    status        TEXT    NULL DEFAULT 'visible' CHECK (status IN ('visible', 'hidden', 'deleted')),
    media_files   TEXT    NULL,
    media_count   INTEGER NOT NULL DEFAULT 0,
    created_at    TEXT    NOT NULL,
    updated_at    TEXT    NOT NULL,
    version       INTEGER NOT NULL DEFAULT 1
)
