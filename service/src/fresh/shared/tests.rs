use super::*;
use crate::fresh::testing::{Database, until};
use futures::future::join_all;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinHandle;

type Reads = Shared<&'static str, usize>;

/// Somebody who reads the key.
fn ask(reads: &Reads, database: &Database, key: &'static str) -> JoinHandle<usize> {
    let (reads, database) = (reads.clone(), database.clone());
    tokio::spawn(async move { reads.read(key, || Ok(database.read())).await.unwrap() })
}

/// How many wait for the next read of the key.
fn waiting(reads: &Reads, key: &str) -> usize {
    let keys = lock(&reads.keys);
    let next = keys.get(key).and_then(Option::as_ref);
    next.map_or(0, |batch| batch.answer.receiver_count())
}

#[tokio::test]
async fn a_request_joins_only_a_read_that_has_not_begun() {
    let (reads, database) = (Reads::new("test"), Database::slow());
    let first = ask(&reads, &database, "k");
    until("the first begins at once", || database.begun() == 1).await;
    let others = [(); 3].map(|()| ask(&reads, &database, "k"));
    until("they wait for the next", || waiting(&reads, "k") == 3).await;
    assert_eq!(database.begun(), 1);
    database.let_go();
    assert_eq!(first.await.unwrap(), 1);
    until("the next begins", || database.begun() == 2).await;
    let late = ask(&reads, &database, "k");
    until("too late for it", || waiting(&reads, "k") == 1).await;
    database.let_go();
    for other in others {
        assert_eq!(other.await.unwrap(), 2);
    }
    database.let_go();
    assert_eq!(late.await.unwrap(), 3);
    until("nothing is left", || lock(&reads.keys).is_empty()).await;
}

#[tokio::test]
async fn who_has_been_answered_and_asks_again_joins_the_next_read() {
    let (reads, database) = (Reads::new("test"), Database::slow());
    let ask_thrice = || {
        let (reads, database) = (reads.clone(), database.clone());
        tokio::spawn(async move {
            let mut answers = [0; 3];
            for answer in &mut answers {
                *answer = reads.read("k", || Ok(database.read())).await.unwrap();
            }
            answers
        })
    };
    let first = ask_thrice();
    until("the first begins", || database.begun() == 1).await;
    let second = ask_thrice();
    until("the second waits", || waiting(&reads, "k") == 1).await;
    for _ in 0..4 {
        database.let_go();
    }
    assert_eq!(first.await.unwrap(), [1, 2, 3]);
    assert_eq!(second.await.unwrap(), [2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_costs_two_reads() {
    let (reads, database) = (Reads::new("test"), Database::slow());
    let first = ask(&reads, &database, "k");
    until("the first begins", || database.begun() == 1).await;
    let burst: Vec<_> = (0..1000).map(|_| ask(&reads, &database, "k")).collect();
    until("all wait", || waiting(&reads, "k") == 1000).await;
    database.let_go();
    database.let_go();
    assert_eq!(first.await.unwrap(), 1);
    for answer in join_all(burst).await {
        assert_eq!(answer.unwrap(), 2);
    }
    assert_eq!(database.begun(), 2);
}

#[tokio::test]
async fn different_keys_do_not_wait_for_each_other() {
    let (reads, database) = (Reads::new("test"), Database::slow());
    let (one, other) = (
        ask(&reads, &database, "one"),
        ask(&reads, &database, "other"),
    );
    until("both run", || database.running() == 2).await;
    database.let_go();
    database.let_go();
    assert_eq!(one.await.unwrap() + other.await.unwrap(), 1 + 2);
}

#[tokio::test]
async fn a_client_that_goes_away_takes_nothing_from_the_others() {
    let (reads, database) = (Reads::new("test"), Database::slow());
    let first = ask(&reads, &database, "k");
    until("the first begins", || database.begun() == 1).await;
    let makes_the_next = ask(&reads, &database, "k");
    until("it waits", || waiting(&reads, "k") == 1).await;
    let (gone_early, stays) = (ask(&reads, &database, "k"), ask(&reads, &database, "k"));
    until("three wait", || waiting(&reads, "k") == 3).await;
    gone_early.abort();
    until("one left", || waiting(&reads, "k") == 2).await;
    database.let_go();
    assert_eq!(first.await.unwrap(), 1);
    until("the next begins", || database.running() == 1).await;
    makes_the_next.abort();
    assert!(makes_the_next.await.unwrap_err().is_cancelled());
    database.let_go();
    assert_eq!(stays.await.unwrap(), 2);
}

#[tokio::test]
async fn those_who_wait_are_served_when_the_client_that_reads_goes_away() {
    let (reads, database) = (Reads::new("test"), Database::slow());
    let first = ask(&reads, &database, "k");
    until("the first begins", || database.begun() == 1).await;
    let other = ask(&reads, &database, "k");
    until("another waits", || waiting(&reads, "k") == 1).await;
    first.abort();
    until("the next begins", || database.begun() == 2).await;
    assert_eq!(database.running(), 1);
    database.let_go();
    assert_eq!(other.await.unwrap(), 2);
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_any_more_stops() {
    let (reads, database) = (Reads::new("test"), Database::slow());
    let client = ask(&reads, &database, "k");
    until("it runs", || database.running() == 1).await;
    client.abort();
    until("it stopped", || database.running() == 0).await;
    until("its key is forgotten", || lock(&reads.keys).is_empty()).await;

    let (one, next) = (ask(&reads, &database, "k"), ask(&reads, &database, "k"));
    until("it runs and one waits", || waiting(&reads, "k") == 1).await;
    next.abort();
    until("nobody waits for the next", || waiting(&reads, "k") == 0).await;
    let late = ask(&reads, &database, "k");
    until("another joins it", || waiting(&reads, "k") == 1).await;
    database.let_go();
    database.let_go();
    assert_eq!((one.await.unwrap(), late.await.unwrap()), (2, 3));
}

#[tokio::test]
async fn an_error_and_a_panic_reach_those_who_waited_and_nobody_else() {
    let reads = Shared::<u8, Result<u8, &'static str>>::new("test");
    let failing = async || reads.read(1, || Ok(async { Err("no") })).await;
    assert_eq!(
        futures::join!(failing(), failing()),
        (Ok(Err("no")), Ok(Err("no")))
    );
    let panicking = async || {
        reads
            .read(1, || Ok(async { panic!("a read panics") }))
            .await
    };
    assert_eq!(
        futures::join!(panicking(), panicking()),
        (Err(Abandoned), Err(Abandoned))
    );
    assert_eq!(reads.read(1, || Ok(async { Ok(1) })).await, Ok(Ok(1)));
}

#[tokio::test]
async fn who_cannot_begin_is_answered_at_once_and_who_joins_need_not_begin() {
    let (reads, database) = (Reads::new("test"), Database::slow());
    let refused = async || {
        let begin = || Err::<std::future::Ready<usize>, usize>(0);
        reads.read("k", begin).await.unwrap()
    };
    assert_eq!(refused().await, 0);
    let first = ask(&reads, &database, "k");
    until("the first begins", || database.begun() == 1).await;
    assert_eq!(refused().await, 0, "nobody waits for what cannot begin");
    let second = ask(&reads, &database, "k");
    until("there is a next read", || waiting(&reads, "k") == 1).await;
    let both = async {
        database.let_go();
        database.let_go();
    };
    assert_eq!(futures::join!(refused(), both).0, 2);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (1, 2));
}

/// Writers raise a number and read it at once, through what others share.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_reads_after_a_write_sees_it() {
    let stored = Arc::new(AtomicU64::new(0));
    let runs = Arc::new(AtomicU64::new(0));
    let reads = Shared::<(), u64>::new("test");
    let client = async |_| {
        let (stored, runs, reads) = (Arc::clone(&stored), Arc::clone(&runs), reads.clone());
        let work = async move {
            for _ in 0..500 {
                let written = stored.fetch_add(1, Ordering::SeqCst) + 1;
                let begin = || {
                    let (stored, runs) = (Arc::clone(&stored), Arc::clone(&runs));
                    Ok(async move {
                        runs.fetch_add(1, Ordering::SeqCst);
                        let seen = stored.load(Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        seen
                    })
                };
                let seen = reads.read((), begin).await.unwrap();
                assert!(seen >= written, "{seen} is older than {written}");
            }
        };
        tokio::spawn(work).await
    };
    for done in join_all((0..32).map(client)).await {
        done.unwrap();
    }
    let runs = runs.load(Ordering::SeqCst);
    assert!(runs < 32 * 500, "{runs}: nobody shared anything");
}
