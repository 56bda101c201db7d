//! Migrating databases.

use crate::kit::database::Database;
use post_service::store::{self, MigrateError, Migrated, Schema, Titles};

/// A test on an unmigrated database of each kind.
macro_rules! on_empty_databases {
    (async fn $name:ident($database:ident) $body:block) => {
        mod $name {
            use super::*;

            async fn test($database: &Database) $body

            #[tokio::test]
            async fn on_sqlite() {
                test(&Database::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_mysql() {
                if let Some(database) = Database::mysql().await {
                    test(&database).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_mariadb() {
                if let Some(database) = Database::mariadb().await {
                    test(&database).await;
                }
            }
        }
    };
}

async fn migrate(database: &Database) -> Migrated {
    store::migrate(&database.url())
        .await
        .expect("the migrations apply")
}

on_empty_databases! {
    async fn a_second_run_has_nothing_to_do(database) {
        let first = migrate(database).await;
        assert!(first.applied[0].starts_with("0001 create "), "{first:?}");
        assert_eq!(first.applied.len(), usize::try_from(first.version).expect("a count"));
        assert!(!first.is_unfinished && first.is_complete);
        let second = migrate(database).await;
        assert_eq!(second, Migrated { applied: vec![], ..first });
    }
}

on_empty_databases! {
    async fn every_migration_may_run_twice(database) {
        let first = migrate(database).await;
        database.execute("INSERT INTO post_totals (scope, level, bucket, visible) VALUES ('x', 0, 0, 7)").await;
        database.execute("UPDATE post_numbers SET last = 7").await;
        database.execute("DELETE FROM _sqlx_migrations").await;
        assert_eq!(migrate(database).await, first);
    }
}

on_empty_databases! {
    async fn a_later_schema_is_left_alone(database) {
        migrate(database).await;
        database.execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'from the future', TRUE, '', 0)",
        ).await;
        let again = migrate(database).await;
        assert_eq!((again.applied.len(), again.version), (0, 9999));
        let store = store::open(&database.url(), None, 1).await.expect("a store");
        assert_eq!(store.check_schema().await.expect("a schema"), Schema::Current);
        store.close().await;
    }
}

on_empty_databases! {
    async fn somebody_elses_tables_are_not_touched(database) {
        database.execute("CREATE TABLE posts (id INTEGER)").await;
        let refused = store::migrate(&database.url()).await.expect_err("a refusal");
        assert!(matches!(&refused, MigrateError::Foreign { table, .. } if table == "posts"));
        assert!(!refused.is_temporary());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_is_resumed_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    migrate(&database).await;
    // What runs of an earlier version left that died in the middle of a statement.
    database
        .execute("UPDATE _sqlx_migrations SET success = FALSE WHERE version IN (6, 17)")
        .await;
    assert_eq!(
        migrate(&database).await.applied,
        ["0006 add posts version", "0017 start post totals"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_at_once_apply_each_migration_once_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let (one, two) = tokio::join!(migrate(&database), migrate(&database));
    assert_eq!(one.version, two.version);
    let applied = i64::try_from(one.applied.len() + two.applied.len());
    assert_eq!(applied.expect("a count"), one.version);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmigrated_schema_is_seen_to_be_behind_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let store = store::open(&database.url(), None, 1)
        .await
        .expect("a store");
    let schema = store.check_schema().await.expect("a schema");
    assert_eq!(
        schema,
        Schema::Behind {
            applied: 0,
            wanted: 30
        }
    );
    migrate(&database).await;
    assert_eq!(
        store.check_schema().await.expect("a schema"),
        Schema::Current
    );
    store.close().await;
}

on_empty_databases! {
    async fn a_migration_that_fails_is_named_and_final(database) {
        migrate(database).await;
        // A later migration finds something in its way.
        database.execute("DROP TABLE post_totals").await;
        database.execute("CREATE TABLE post_totals (id INTEGER)").await;
        database.execute(
            "DELETE FROM _sqlx_migrations WHERE description = 'start post totals'"
        ).await;
        let failed = store::migrate(&database.url()).await.expect_err("a failure");
        assert!(matches!(&failed, MigrateError::Failed { migration, .. }
            if migration.contains("start post totals")));
        assert!(!failed.is_temporary());
    }
}

on_empty_databases! {
    async fn finish_repairs_what_has_drifted_and_finds_nothing_the_second_time(database) {
        let unmigrated = store::finish(&database.url(), Titles::Missing, |_| ()).await.expect_err("a refusal");
        assert!(matches!(unmigrated, MigrateError::NotMigrated { applied: 0, .. }));
        migrate(database).await;
        database.execute(
            "INSERT INTO posts (id, No, username, category, title, content, status, like_count, \
             media_files, media_count, created_at, updated_at) VALUES \
             ('a', 70000, 'u', ' 자유 ', 't', 'c', 'visible', 7, '[1, 2]', 0, \
              '2024-01-01 00:00:00', '2024-01-01 00:00:00')",
        ).await;
        let repaired = store::finish(&database.url(), Titles::Missing, |_| ()).await.expect("a repair");
        assert_eq!((repaired.categories, repaired.categorized), (1, 1));
        assert_eq!((repaired.posts, repaired.repaired), (1, 1));
        assert!(repaired.totals > 0 && !repaired.ended_adoption);
        let again = store::finish(&database.url(), Titles::Missing, |_| ()).await.expect("a look");
        assert_eq!(again, store::Finished { posts: 1, ..store::Finished::default() });
    }
}
