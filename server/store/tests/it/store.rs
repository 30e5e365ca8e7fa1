//! What a store promises while nothing goes wrong with the machine, and what it refuses.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use claudecluster_protocol::{
    BlobId, ErrorBody, ErrorKind, Event, EventBody, EventSeq, GoalId, Timestamp,
};
use claudecluster_store::{NewEvent, Store, StoreError};
use rusqlite::Connection;

fn event(goal: &str, lesson: &str) -> NewEvent {
    NewEvent {
        at: Timestamp(1_700_000_000_000),
        goal: GoalId::new(goal),
        body: EventBody::RetryScheduled {
            task_id: "t".into(),
            not_before: Timestamp(7),
            lesson: lesson.to_owned(),
        },
    }
}

fn lesson(event: &Event) -> &str {
    match &event.body {
        EventBody::RetryScheduled { lesson, .. } => lesson,
        other => panic!("nobody wrote {other:?}"),
    }
}

/// Looks into the file behind a closed store's back.
fn database(home: &Path) -> Connection {
    Connection::open(home.join("journal.db")).unwrap()
}

/// Every promise that does not need a disk is kept by both stores.
async fn keeps_events(store: &Store) {
    assert_eq!(store.last_seq(), EventSeq(0));
    assert_eq!(store.read_events(EventSeq(0), None).unwrap(), []);
    let first = store
        .append_events(vec![event("g1", "a"), event("g2", "b \u{1f600}\0")])
        .await
        .unwrap();
    let second = store.append_events(vec![event("g1", "c")]).await.unwrap();
    assert_eq!(store.append_events(Vec::new()).await.unwrap(), []);
    assert_eq!(store.last_seq(), EventSeq(3));

    let all = [first, second].concat();
    let seqs: Vec<u64> = all.iter().map(|event| event.seq.0).collect();
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!(store.read_events(EventSeq(0), None).unwrap(), all);
    assert_eq!(store.read_events(EventSeq(2), None).unwrap(), all[2..]);
    assert_eq!(store.read_events(EventSeq(9), None).unwrap(), []);
    assert_eq!(store.read_events(EventSeq(u64::MAX), None).unwrap(), []);
    let g1 = GoalId::new("g1");
    let of_g1 = [all[0].clone(), all[2].clone()];
    assert_eq!(store.read_events(EventSeq(0), Some(&g1)).unwrap(), of_g1);
    assert_eq!(
        store.read_events(EventSeq(1), Some(&g1)).unwrap(),
        of_g1[1..]
    );
}

fn keeps_blobs(store: &Store) {
    for size in [0, 1, 65_535, 65_536, 300_000] {
        let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let id = store.put_blob(&bytes).unwrap();
        assert_eq!(store.put_blob(&bytes).unwrap(), id);
        assert_eq!(store.get_blob(&id).unwrap().as_ref(), Some(&bytes));
        assert_eq!(store.blob_len(&id).unwrap(), Some(size));
    }
    let unknown = "0".repeat(64);
    // Names come from outside: none may be taken for a path.
    for id in [&unknown, "", "../lock", "/etc/passwd", "ABCDEF"] {
        let id = BlobId::new(id);
        assert_eq!(store.get_blob(&id).unwrap(), None, "{id}");
        assert_eq!(store.blob_len(&id).unwrap(), None, "{id}");
        assert_eq!(store.blob_path(&id), None, "{id}");
    }
}

#[tokio::test]
async fn both_stores_keep_events_and_blobs() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Store::in_memory(), Store::open(folder.path()).unwrap()] {
        keeps_events(&store).await;
        keeps_blobs(&store);
        store.verify_contents().unwrap();
        store.check_writable().unwrap();
    }
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("not/there/yet");
    let (small, large) = (vec![1; 100], vec![2; 100_000]);
    let store = Store::open(&home).unwrap();
    let ids = [&small, &large].map(|bytes| store.put_blob(bytes).unwrap());
    let written = store.append_events(vec![event("g1", "a")]).await.unwrap();
    drop(store);

    let store = Store::open(&home).unwrap();
    assert_eq!(store.read_events(EventSeq(0), None).unwrap(), written);
    assert_eq!(store.get_blob(&ids[0]).unwrap(), Some(small));
    assert_eq!(store.get_blob(&ids[1]).unwrap(), Some(large.clone()));
    assert_eq!(store.blob_path(&ids[0]), None);
    let path = store.blob_path(&ids[1]).unwrap();
    assert_eq!(fs::read(path).unwrap(), large);
    let next = store.append_events(vec![event("g1", "b")]).await.unwrap();
    assert_eq!(next[0].seq, EventSeq(2));
}

#[tokio::test]
async fn small_blobs_are_durable_with_the_next_event_at_the_latest() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let ids: Vec<BlobId> = (0..500)
        .map(|n: u32| store.put_blob(&n.to_le_bytes()).unwrap())
        .collect();
    store.append_events(vec![event("g1", "a")]).await.unwrap();
    // A connection of its own sees only what is committed.
    let db = database(folder.path());
    for id in ids {
        let there: bool = db
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM blobs WHERE id = ?1)",
                [id.as_str()],
                |row| row.get(0),
            )
            .unwrap();
        assert!(there, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn sixty_four_writers_leave_no_gap_and_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                for n in 0..20 {
                    let pair =
                        ["x", "y"].map(|half| event(&format!("g{writer}"), &format!("{n}{half}")));
                    mine.extend(store.append_events(pair.to_vec()).await.unwrap());
                }
                mine
            })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for writer in writers {
        let mine = writer.await.unwrap();
        assert!(mine.is_sorted_by_key(|event| event.seq));
        for pair in mine.chunks(2) {
            assert_eq!(pair[0].seq.0 + 1, pair[1].seq.0, "a unit was torn apart");
        }
        acknowledged.extend(mine);
    }
    drop(store);
    acknowledged.sort_by_key(|event| event.seq);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.last_seq(), EventSeq(64 * 20 * 2));
    assert_eq!(store.read_events(EventSeq(0), None).unwrap(), acknowledged);
}

#[tokio::test]
async fn an_append_that_nobody_waits_for_stands() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    {
        let mut append = std::pin::pin!(store.append_events(vec![event("g1", "a")]));
        let waker = std::task::Waker::noop();
        // Once polled, it is sent; dropping it takes nothing back.
        let _ = append
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker));
    }
    let next = store.append_events(vec![event("g1", "b")]).await.unwrap();
    assert_eq!(next[0].seq, EventSeq(2));
    assert_eq!(
        lesson(&store.read_events(EventSeq(0), None).unwrap()[0]),
        "a"
    );
}

/// Damages a journal of five events and says what reading it gives.
async fn damage(sql: &str) -> StoreError {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for text in ["a", "b", "c", "d", "e"] {
        store.append_events(vec![event("g1", text)]).await.unwrap();
    }
    drop(store);
    assert_eq!(
        database(folder.path()).execute(sql, []).unwrap(),
        1,
        "{sql}"
    );
    let store = Store::open(folder.path()).unwrap();
    let error = store.read_events(EventSeq(0), None).unwrap_err();
    assert_eq!(
        store.verify_contents().unwrap_err().to_string(),
        error.to_string()
    );
    error
}

#[tokio::test]
async fn a_damaged_event_is_named() {
    let cases = [
        (
            "UPDATE events SET body = replace(body, '\"c\"', '\"C\"') WHERE seq = 3",
            "checksum",
        ),
        ("UPDATE events SET at = at + 1 WHERE seq = 3", "checksum"),
        ("UPDATE events SET goal = 'g2' WHERE seq = 3", "checksum"),
        (
            "UPDATE events SET checksum = x'00' WHERE seq = 3",
            "checksum",
        ),
        ("DELETE FROM events WHERE seq = 3", "missing"),
    ];
    for (sql, expected) in cases {
        let error = damage(sql).await;
        assert!(
            matches!(&error, StoreError::CorruptEvent { seq: EventSeq(3), reason } if reason.contains(expected)),
            "{sql}: {error}"
        );
    }
}

#[tokio::test]
async fn a_damaged_blob_is_named_and_never_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let small = store.put_blob(b"small").unwrap();
    let large = store.put_blob(&vec![3; 100_000]).unwrap();
    store.append_events(vec![event("g1", "a")]).await.unwrap();
    fs::write(store.blob_path(&large).unwrap(), vec![4; 100_000]).unwrap();
    drop(store);
    database(folder.path())
        .execute(
            "UPDATE blobs SET bytes = x'00' WHERE id = ?1",
            [small.as_str()],
        )
        .unwrap();
    let store = Store::open(folder.path()).unwrap();
    for id in [small, large] {
        let error = store.get_blob(&id).unwrap_err();
        assert!(
            matches!(&error, StoreError::CorruptBlob { id: named } if *named == id),
            "{error}"
        );
    }
}

#[test]
fn a_second_owner_is_refused_and_told_who_the_first_is() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(folder.path()).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(
        matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == std::process::id())
    );
    let body = ErrorBody::from(error);
    assert_eq!(body.kind, ErrorKind::Environment);
    assert!(
        body.message
            .contains(&format!("process {}", std::process::id()))
    );
    assert!(body.hint.unwrap().contains("daemon stop"));
    let clone = first.clone();
    drop(first);
    Store::open(folder.path()).unwrap_err();
    drop(clone);
    Store::open(folder.path()).unwrap();
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    database(folder.path())
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(
        matches!(error, StoreError::NewerSchema { found: 99, .. }),
        "{error}"
    );
    assert!(ErrorBody::from(error).hint.unwrap().contains("update"));
    let found: u32 = database(folder.path())
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(found, 99);
}

#[test]
fn a_file_that_is_no_journal_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let text = "not a database ".repeat(100);
    fs::write(&path, &text).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Database { .. }), "{error}");
    assert_eq!(fs::read_to_string(path).unwrap(), text);
}

#[tokio::test]
async fn only_the_user_can_look_inside() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    let store = Store::open(&home).unwrap();
    let large = store.put_blob(&vec![3; 100_000]).unwrap();
    store.append_events(vec![event("g1", "a")]).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for name in ["", "blobs", "incoming"] {
        assert_eq!(mode(&home.join(name)), 0o700, "{name:?}");
    }
    for name in ["lock", "journal.db", "journal.db-wal", "journal.db-shm"] {
        assert_eq!(mode(&home.join(name)), 0o600, "{name:?}");
    }
    assert_eq!(mode(&store.blob_path(&large).unwrap()), 0o600);
}

#[test]
fn half_written_files_are_removed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    let stale = folder.path().join("incoming/0");
    fs::write(&stale, "half").unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert!(!stale.exists());
    store.put_blob(&vec![1; 100_000]).unwrap();
}
