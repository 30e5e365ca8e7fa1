//! The journal's file: how it is opened, and how its format moves forward.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use crate::{StoreError, home};

/// The oldest SQLite without the bug that loses a write-ahead log that is reset while another
/// connection reads it.
const NEEDED: (i32, &str) = (3_051_003, "3.51.3");

/// Each entry takes the format one version further. Entries are added, never changed.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE events (
        seq      INTEGER PRIMARY KEY,
        at       INTEGER NOT NULL,
        goal     TEXT    NOT NULL,
        body     TEXT    NOT NULL,
        checksum BLOB    NOT NULL,
        kind     TEXT    GENERATED ALWAYS AS (json_extract(body, '$.type')) VIRTUAL
    ) STRICT;
    CREATE INDEX events_goal ON events (goal, seq);
    CREATE TABLE blobs (
        id    TEXT PRIMARY KEY,
        bytes BLOB NOT NULL
    ) STRICT;
"];

/// Opens the one connection that writes, and brings the file to the newest format.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let found = rusqlite::version_number();
    if found < NEEDED.0 {
        return Err(StoreError::OldLibrary {
            found: rusqlite::version(),
            needed: NEEDED.1,
        });
    }
    // SQLite gives its log and index the permissions of the file they belong to.
    home::private_file(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags)
        .map_err(StoreError::database("open the journal"))?;
    check_format(&db)?;
    configure_writer(&db).map_err(StoreError::database("configure the journal"))?;
    migrate_schema(&mut db).map_err(StoreError::database("upgrade the journal"))?;
    Ok(db)
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)
        .map_err(StoreError::database("open the journal for reading"))?;
    db.busy_timeout(Duration::from_secs(5))
        .and_then(|()| db.pragma_update(None, "mmap_size", 0))
        .map_err(StoreError::database("configure the journal for reading"))?;
    Ok(db)
}

fn format_of(db: &Connection) -> rusqlite::Result<u32> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn check_format(db: &Connection) -> Result<(), StoreError> {
    let found = format_of(db).map_err(StoreError::database("read the journal's format"))?;
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    Ok(())
}

fn configure_writer(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |row| {
        let mode: String = row.get(0)?;
        if mode == "wal" {
            Ok(())
        } else {
            Err(rusqlite::Error::InvalidParameterName(format!(
                "journal_mode stays {mode}"
            )))
        }
    })?;
    // FULL syncs the log at every commit: an acknowledged event survives a power cut.
    db.pragma_update(None, "synchronous", "FULL")?;
    // An IO error under a memory map kills the process; through read(2) it is an error.
    db.pragma_update(None, "mmap_size", 0)?;
    db.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    Ok(())
}

fn migrate_schema(db: &mut Connection) -> rusqlite::Result<()> {
    let from = format_of(db)?;
    for (format, sql) in (1_u32..).zip(MIGRATIONS) {
        if format <= from {
            continue;
        }
        let step = db.transaction()?;
        step.execute_batch(sql)?;
        step.pragma_update(None, "user_version", format)?;
        step.commit()?;
    }
    Ok(())
}
