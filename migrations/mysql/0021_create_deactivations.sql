-- Users who deactivated their accounts: refused at once and for ever. `finished_at` is set when
-- Cognito has forgotten the user too; until then it is asked again at `due_at`.
-- Lock: none on other tables.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS deactivations (
    user_id      VARCHAR(36)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    username     VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    requested_at DATETIME     NOT NULL,
    finished_at  DATETIME     NULL,
    attempts     INT          NOT NULL DEFAULT 0,
    due_at       DATETIME     NOT NULL,
    PRIMARY KEY (user_id),
    KEY ix_deactivations_due (finished_at, due_at)
) ENGINE = InnoDB
