-- Users who deactivated their accounts: refused at once and for ever. `finished_at` is set when
-- Cognito has forgotten the user too; until then it is asked again at `due_at`.
CREATE TABLE IF NOT EXISTS deactivations (
    user_id      TEXT    NOT NULL PRIMARY KEY,
    username     TEXT    NOT NULL,
    requested_at TEXT    NOT NULL,
    finished_at  TEXT    NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    due_at       TEXT    NOT NULL
)
