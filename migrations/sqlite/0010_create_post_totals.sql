-- Visible posts per scope: the empty scope counts all posts, any other is a category id.
CREATE TABLE IF NOT EXISTS post_totals (
    scope   TEXT    NOT NULL PRIMARY KEY,
    visible INTEGER NOT NULL
) WITHOUT ROWID
