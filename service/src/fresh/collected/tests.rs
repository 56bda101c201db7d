use super::*;
use crate::fresh::testing::{Database, until};
use futures::future::join_all;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinHandle;

const LIMITS: Limits = Limits {
    keys: 4,
    batches: 2,
};

/// Tells for an even key which read it was, for an odd one that there is nothing.
type Reads = Collected<u32, Option<usize>>;
/// The keys of each read, in the order they began.
type Batches = Arc<Mutex<Vec<Vec<u32>>>>;

fn reads(database: &Database) -> (Reads, Batches) {
    let batches = Batches::default();
    let (seen, database) = (Arc::clone(&batches), database.clone());
    let read = move |keys: Vec<u32>| {
        lock(&seen).push(keys.clone());
        let read = database.read();
        async move {
            let number = read.await;
            let found = |key: u32| key.is_multiple_of(2).then_some(number);
            keys.into_iter().map(found).collect()
        }
    };
    (Collected::new("test", LIMITS, read), batches)
}

fn ask(reads: &Reads, key: u32) -> JoinHandle<Option<usize>> {
    let reads = reads.clone();
    tokio::spawn(async move { reads.read(key).await.unwrap() })
}

fn waiting(reads: &Reads) -> usize {
    lock(&reads.0.queue).waiting.len()
}

fn is_idle(reads: &Reads) -> bool {
    let queue = lock(&reads.0.queue);
    queue.in_flight == 0 && queue.waiting.is_empty()
}

#[tokio::test]
async fn keys_asked_for_while_batches_run_go_into_the_next_ones() {
    let database = Database::slow();
    let (reads, batches) = reads(&database);
    let first = [ask(&reads, 2), ask(&reads, 4)];
    until("each begins at once", || database.running() == 2).await;
    let mut others = Vec::new();
    for (asked, key) in [16, 7, 12, 14, 7, 10].into_iter().enumerate() {
        others.push(ask(&reads, key));
        until("it waits", || waiting(&reads) == asked + 1).await;
    }
    database.let_go();
    until("the next begins", || database.begun() == 3).await;
    database.let_go();
    until("and the one after it", || database.begun() == 4).await;
    assert_eq!(database.running(), LIMITS.batches);
    // In the order of arrival up to the limit, a key that is wanted twice only once.
    assert_eq!(
        *lock(&batches),
        [vec![2], vec![4], vec![7, 12, 14, 16], vec![7, 10]]
    );
    database.let_go();
    database.let_go();
    let mut answers = Vec::new();
    for answer in first.into_iter().chain(others) {
        answers.push(answer.await.unwrap());
    }
    let third = [Some(3), None, Some(3), Some(3)];
    assert_eq!(answers[..2], [Some(1), Some(2)]);
    assert_eq!(answers[2..6], third);
    assert_eq!(answers[6..], [None, Some(4)]);
    until("nothing is left", || is_idle(&reads)).await;
}

#[tokio::test]
async fn all_who_wait_for_a_key_get_what_one_read_found() {
    let database = Database::slow();
    let (reads, batches) = reads(&database);
    let busy = [ask(&reads, 2), ask(&reads, 4)];
    until("both run", || database.running() == 2).await;
    let same: Vec<_> = (0..100).map(|_| ask(&reads, 6)).collect();
    until("all wait", || waiting(&reads) == 100).await;
    for _ in 0..3 {
        database.let_go();
    }
    for answer in join_all(same).await {
        assert_eq!(answer.unwrap(), Some(3));
    }
    join_all(busy).await;
    assert_eq!(lock(&batches)[2..], [[6]]);
}

#[tokio::test]
async fn a_client_that_goes_away_takes_nothing_from_the_others() {
    let database = Database::slow();
    let (reads, batches) = reads(&database);
    let busy = [ask(&reads, 2), ask(&reads, 4)];
    until("both run", || database.running() == 2).await;
    let (gone, stays, goes_later) = (ask(&reads, 6), ask(&reads, 8), ask(&reads, 10));
    until("they wait", || waiting(&reads) == 3).await;
    gone.abort();
    until("it is gone", || {
        lock(&reads.0.queue).waiting[0].answer.is_closed()
    })
    .await;
    database.let_go();
    until("the next begins", || database.begun() == 3).await;
    goes_later.abort();
    busy[1].abort();
    database.let_go();
    database.let_go();
    assert_eq!(stays.await.unwrap(), Some(3));
    assert_eq!(lock(&batches)[2..], [[8, 10]]);
    until("nothing is left", || is_idle(&reads)).await;
}

#[tokio::test]
async fn those_who_have_gone_do_not_fill_the_queue() {
    let database = Database::slow();
    let (reads, _) = reads(&database);
    let _busy = [ask(&reads, 2), ask(&reads, 4)];
    until("both run", || database.running() == 2).await;
    for _ in 0..1000 {
        let client = ask(&reads, 6);
        tokio::task::yield_now().await;
        client.abort();
        assert!(client.await.is_err());
    }
    assert!(waiting(&reads) < 10, "{}", waiting(&reads));
}

#[tokio::test]
async fn a_panic_reaches_those_who_waited_and_frees_the_place() {
    let read = |keys: Vec<u8>| {
        assert!(!keys.contains(&1), "a read panics before it begins");
        async move {
            assert!(!keys.contains(&2), "a read panics");
            keys
        }
    };
    let reads = Collected::<u8, u8>::new("test", LIMITS, read);
    for _ in 0..10 {
        assert_eq!(reads.read(1).await, Err(Abandoned));
        assert_eq!(reads.read(2).await, Err(Abandoned));
    }
    assert_eq!(reads.read(3).await, Ok(3));
}

/// Writers raise a number and read it at once, through what others share.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_reads_after_a_write_sees_it() {
    let stored: Arc<[AtomicU64; 8]> = Arc::default();
    let (runs, in_flight) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let read = {
        let (stored, runs, in_flight) = (Arc::clone(&stored), Arc::clone(&runs), in_flight);
        move |keys: Vec<usize>| {
            let (stored, in_flight) = (Arc::clone(&stored), Arc::clone(&in_flight));
            runs.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(in_flight.fetch_add(1, Ordering::SeqCst) < LIMITS.batches as u64);
                let seen = keys.iter().map(|key| stored[*key].load(Ordering::SeqCst));
                let seen: Vec<_> = seen.collect();
                tokio::task::yield_now().await;
                in_flight.fetch_sub(1, Ordering::SeqCst);
                seen
            }
        }
    };
    let reads = Collected::new("test", LIMITS, read);
    let client = async |number: usize| {
        let (stored, reads) = (Arc::clone(&stored), reads.clone());
        let work = async move {
            for round in 0..500 {
                let key = (number + round) % stored.len();
                let written = stored[key].fetch_add(1, Ordering::SeqCst) + 1;
                let seen = reads.read(key).await.unwrap();
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
