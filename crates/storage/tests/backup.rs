//! Backing up the embedded database under load, and restoring it.

use muster_storage::{Error, Store, TxExt, args, backup, testing, timers};

#[test]
fn a_backup_taken_under_load_restores_to_a_whole_database() {
    testing::block_on(async {
        let store = testing::store();
        let directory = store.directory().unwrap().to_owned();
        let tenant = testing::id();
        let mut writers = Vec::new();
        for _ in 0..200 {
            let (store, subject) = (store.store.clone(), testing::id());
            writers.push(tokio::spawn(async move {
                store
                    .write(tenant, move |tx| {
                        // Two rows that belong together.
                        timers::set(tx, tenant, "one", subject, 1, "{}")?;
                        timers::set(tx, tenant, "two", subject, 1, "{}")
                    })
                    .await
                    .unwrap();
            }));
        }
        let file = directory.join("backup.db");
        let copied = backup::write(&directory.join("muster.db"), &file).unwrap();
        assert!(copied.bytes > 0 && copied.schema > 0);
        for writer in writers {
            writer.await.unwrap();
        }
        let restored = directory.join("restored.db");
        assert_eq!(backup::restore(&file, &restored).unwrap().schema, copied.schema);
        let again = backup::restore(&file, &restored);
        assert!(again.is_err(), "a database was replaced");
        let store = Store::open_sqlite(&restored).unwrap();
        let counts = store
            .read(tenant, move |tx| {
                let count = |tx: &mut dyn muster_storage::Tx, kind: &str| {
                    tx.one(
                        "select count(*) from timer where tenant_id = $1 and kind = $2",
                        args![tenant, kind],
                        |row| row.int(0),
                    )
                };
                Ok::<_, Error>((count(tx, "one")?, count(tx, "two")?))
            })
            .await
            .unwrap();
        assert_eq!(counts.0, counts.1);
    });
}

#[test]
fn a_damaged_or_foreign_file_is_not_restored() {
    let directory = tempfile::tempdir().unwrap();
    let from = directory.path().join("from");
    std::fs::write(&from, b"not a database, but long enough to be read as one ".repeat(100)).unwrap();
    let refused = backup::restore(&from, &directory.path().join("to")).unwrap_err();
    assert!(refused.to_string().contains("database"), "{refused}");
    assert!(!directory.path().join("to").exists());
    assert!(backup::restore(&directory.path().join("absent"), &directory.path().join("to")).is_err());
}

#[cfg(unix)]
#[test]
fn database_and_backup_are_readable_by_the_server_alone() {
    use std::os::unix::fs::PermissionsExt;
    let store = testing::store();
    let directory = store.directory().unwrap();
    let file = directory.join("backup.db");
    backup::write(&directory.join("muster.db"), &file).unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
}
