//! Whether a migration has taken effect without having been recorded: MySQL commits a DDL statement
//! by itself, and a run may be killed right after it.

use sqlx::MySqlConnection;

/// What a migration adds, from a line of its head: `-- probe: table posts`,
/// `-- probe: column posts.version` or `-- probe: index posts.ix_posts_latest`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Probe<'a> {
    Table(&'a str),
    Column(&'a str, &'a str),
    Index(&'a str, &'a str),
}

impl<'a> Probe<'a> {
    /// The probe in this file, if it has one. A statement without one may be run twice.
    pub(super) fn of(file: &'a str) -> Option<Self> {
        let line = file
            .lines()
            .find_map(|line| line.strip_prefix("-- probe: "))?;
        let (kind, name) = line.trim().split_once(' ')?;
        match (kind, name.split_once('.')) {
            ("table", None) => Some(Self::Table(name)),
            ("column", Some((table, column))) => Some(Self::Column(table, column)),
            ("index", Some((table, index))) => Some(Self::Index(table, index)),
            _ => None,
        }
    }

    /// Whether it is there already.
    pub(super) async fn holds(&self, connection: &mut MySqlConnection) -> sqlx::Result<bool> {
        let query = match self {
            Self::Table(table) => sqlx::query_scalar(
                "SELECT COUNT(*) FROM information_schema.tables \
                 WHERE table_schema = DATABASE() AND table_name = ?",
            )
            .bind(table),
            Self::Column(table, column) => sqlx::query_scalar(
                "SELECT COUNT(*) FROM information_schema.columns \
                 WHERE table_schema = DATABASE() AND table_name = ? AND column_name = ?",
            )
            .bind(table)
            .bind(column),
            Self::Index(table, index) => sqlx::query_scalar(
                "SELECT COUNT(*) FROM information_schema.statistics \
                 WHERE table_schema = DATABASE() AND table_name = ? AND index_name = ?",
            )
            .bind(table)
            .bind(index),
        };
        let found: i64 = query.fetch_one(connection).await?;
        Ok(found > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_a_line_of_the_head() {
        let file = "-- Why.\n-- probe: column posts.version\nALTER TABLE posts";
        assert_eq!(Probe::of(file), Some(Probe::Column("posts", "version")));
        assert_eq!(Probe::of("-- probe: table t\n"), Some(Probe::Table("t")));
        assert_eq!(
            Probe::of("-- probe: index t.i"),
            Some(Probe::Index("t", "i"))
        );
        assert_eq!(Probe::of("-- No probe.\nCREATE TABLE x (y INT)"), None);
    }

    /// `CREATE … IF NOT EXISTS` and `INSERT IGNORE` may run twice by themselves.
    #[test]
    fn every_alter_has_a_probe_that_can_be_read() {
        for migration in super::super::MYSQL.iter() {
            let has_line = migration.sql.contains("-- probe:");
            assert_eq!(has_line, Probe::of(&migration.sql).is_some());
            assert!(has_line || !migration.sql.contains("ALTER TABLE"));
        }
    }

    #[test]
    fn every_migration_states_its_lock_and_duration() {
        for migration in super::super::MYSQL.iter() {
            for line in ["-- Lock: ", "-- Duration: "] {
                let count = migration.sql.matches(line).count();
                assert_eq!(count, 1, "{} {line}", migration.description);
            }
        }
    }
}
