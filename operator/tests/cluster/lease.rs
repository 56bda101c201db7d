//! Several replicas of the real binary: of them one writes, and its end is noticed.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use nix::sys::signal::Signal;
use post_operator::api::v1alpha1::PostService;
use serde_json::json;

use crate::open::idle as world;
use crate::peer::{LEASE, Replica, holder};
use crate::world::{PATIENCE, World};

/// Waits until somebody has reported on generation `generation` of `name`.
async fn reported(world: &World, name: &str, generation: i64) {
    world
        .wait::<PostService, _>(name, &format!("a status of {generation}"), |service| {
            let seen = service.status.as_ref()?.observed_generation;
            (seen == Some(generation)).then_some(())
        })
        .await;
}

/// The leader `a`, which has reported on `first`, and the standby `b`.
async fn pair(world: &World, lease_duration: &str) -> (Replica, Replica) {
    world.create_named("first", "1").await;
    let a = Replica::start(world, "a", lease_duration).await;
    a.leads(world).await;
    reported(world, "first", 1).await;
    let b = Replica::start(world, "b", lease_duration).await;
    b.ready().await;
    (a, b)
}

/// Waits until `replica` has written, and says when it first did.
async fn first_write(replica: &Replica, since: Instant) -> Instant {
    loop {
        if let Some(write) = replica.wrote_since(since).first() {
            return write.at;
        }
        assert!(since.elapsed() < PATIENCE, "{} never wrote", replica.name);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_leader_that_ends_in_peace_is_followed_within_three_seconds() {
    let world = world!("peace");
    let begun = Instant::now();
    let (mut a, b) = pair(&world, "15s").await;
    let end = Instant::now();
    assert!(b.wrote_since(begun).is_empty(), "the standby wrote");
    a.signal(Signal::SIGTERM);
    world.create_named("second", "1").await;
    let took = first_write(&b, end).await - end;
    println!("SIGTERM → the other's first write: {} ms", took.as_millis());
    assert!(took < Duration::from_secs(3), "{took:?}");
    let (status, log) = a.ended().await;
    assert!(status.success(), "{log}");
    reported(&world, "second", 1).await;
    world.close().await;
}

#[tokio::test]
async fn a_killed_leader_is_followed_within_twenty_seconds() {
    let world = world!("killed");
    let (a, b) = pair(&world, "15s").await;
    let end = Instant::now();
    a.signal(Signal::SIGKILL);
    world.create_named("second", "1").await;
    let took = first_write(&b, end).await - end;
    println!("SIGKILL → the other's first write: {} ms", took.as_millis());
    assert!(took < Duration::from_secs(20), "{took:?}");
    // It did not begin before its clock allowed it to.
    assert!(took > Duration::from_secs(12), "{took:?}");
    world.close().await;
}

#[tokio::test]
async fn a_leader_paused_past_its_lease_writes_nothing_on_waking() {
    let world = world!("paused");
    let (mut a, b) = pair(&world, "5s").await;
    a.signal(Signal::SIGSTOP);
    b.leads(&world).await;
    // Nobody but the paused one is left to report on the change.
    b.signal(Signal::SIGKILL);
    let change = json!({"spec": {"image": {"tag": "2"}}});
    let services = world.api::<PostService>();
    services
        .patch("first", &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
    let waking = Instant::now();
    a.signal(Signal::SIGCONT);
    let (status, log) = a.ended().await;
    assert!(!status.success(), "it went on");
    assert!(
        log.contains("the Lease") && log.contains("could not be renewed"),
        "{log}"
    );
    let mut writes = a.asked_since(waking);
    writes.retain(crate::peer::Asked::is_write);
    assert!(writes.is_empty(), "{writes:#?}");
    let service = services.get("first").await.unwrap();
    assert_eq!(service.status.unwrap().observed_generation, Some(1));
    world.close().await;
}

#[tokio::test]
async fn one_renewal_without_an_answer_costs_nothing() {
    let world = world!("slowcall");
    let (mut a, b) = pair(&world, "6s").await;
    a.slow_down_one_renewal(PATIENCE);
    let begun = Instant::now();
    // Enough for two leases to lapse.
    let renewed_on = async {
        while a
            .asked_since(begun)
            .iter()
            .filter(|asked| asked.is_of_lease())
            .count()
            < 16
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed_on)
        .await
        .expect("renewed in time");
    assert!(a.was_slowed_down() && a.is_running());
    assert!(
        begun.elapsed() > Duration::from_secs(10),
        "it was no long time"
    );
    let lease = world.api::<Lease>().get(LEASE).await.unwrap();
    assert!(holder(&lease).starts_with("a_"), "{lease:?}");
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(0));
    assert!(b.wrote_since(begun).is_empty());
    world.close().await;
}

#[tokio::test]
async fn a_lease_taken_by_hand_ends_its_holder_with_the_name_of_the_other() {
    let world = world!("taken");
    world.create_named("first", "1").await;
    let mut a = Replica::start(&world, "a", "15s").await;
    a.leads(&world).await;
    let change = json!({"spec": {"holderIdentity": "somebody-else"}});
    let leases = world.api::<Lease>();
    leases
        .patch(LEASE, &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
    let (status, log) = a.ended().await;
    assert!(!status.success());
    assert!(log.contains("taken over by somebody-else"), "{log}");
    world.close().await;
}

#[tokio::test]
async fn replicas_that_come_and_go_never_write_by_turns() {
    let world = world!("turns");
    let begun = Instant::now();
    let mut replicas = Vec::new();
    for name in ["a", "b", "c"] {
        replicas.push(Replica::start(&world, name, "5s").await);
    }
    for replica in &replicas {
        replica.ready().await;
    }
    let mut ended = Vec::new();
    for (round, signal) in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGTERM]
        .into_iter()
        .enumerate()
    {
        for name in 0..4 {
            let name = format!("s{round}{name}");
            world.create_named(&name, "1").await;
            reported(&world, &name, 1).await;
        }
        let lease = world.api::<Lease>().get(LEASE).await.unwrap();
        let leader = holder(&lease);
        let position = replicas
            .iter()
            .position(|replica| leader.starts_with(&format!("{}_", replica.name)))
            .unwrap_or_else(|| panic!("{leader} is no replica"));
        let replica = replicas.remove(position);
        replica.signal(signal);
        ended.push(replica);
    }
    let mut moments: Vec<_> = ended
        .iter()
        .flat_map(|replica| {
            let writes = replica.wrote_since(begun);
            writes
                .into_iter()
                .map(|write| (write.at, replica.name.clone()))
        })
        .collect();
    moments.sort();
    let mut writers: Vec<_> = moments.into_iter().map(|(_, name)| name).collect();
    writers.dedup();
    let in_order: Vec<_> = ended.iter().map(|replica| replica.name.clone()).collect();
    assert_eq!(
        writers, in_order,
        "each wrote in one piece, and all of them did"
    );
    world.close().await;
}

#[tokio::test]
async fn metrics_tell_the_leader_and_forget_what_is_gone() {
    let world = world!("metrics");
    let (a, b) = pair(&world, "15s").await;
    let check = tokio::process::Command::new(env!("CARGO_BIN_EXE_post-operator"))
        .args(["check", "--url", &b.url()])
        .status();
    assert!(check.await.unwrap().success(), "the standby is ready");
    let series = format!(
        "post_operator_condition{{namespace=\"{}\",name=\"first\",type=\"Ready\"",
        world.namespace
    );
    let leader = a.get("/metrics").await;
    for expected in [
        series.as_str(),
        "post_operator_leader 1",
        "post_operator_reconciles_total{result=\"success\"}",
        "post_operator_reconcile_duration_seconds_bucket",
        "post_operator_api_request_duration_seconds_count{verb=\"patch\",code=\"200\"}",
    ] {
        assert!(leader.contains(expected), "{expected} is not in\n{leader}");
    }
    let standby = b.get("/metrics").await;
    assert!(standby.contains("post_operator_leader 0"), "{standby}");
    assert!(!standby.contains(&series), "{standby}");
    for result in ["success", "error"] {
        let none = format!("post_operator_reconciles_total{{result=\"{result}\"}} 0");
        assert!(
            standby.contains(&none),
            "a standby makes no pass:\n{standby}"
        );
    }
    world.delete::<PostService>("first").await;
    let begun = Instant::now();
    while a.get("/metrics").await.contains(&series) {
        assert!(begun.elapsed() < PATIENCE, "the series stayed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.close().await;
}

#[tokio::test]
async fn the_first_pass_follows_the_start_at_once() {
    let world = world!("start");
    world.create_named("first", "1").await;
    let begun = Instant::now();
    let a = Replica::start(&world, "a", "15s").await;
    let took = first_write(&a, begun).await - begun;
    println!("process started → first write: {} ms", took.as_millis());
    // One second on a machine that does nothing else; tests share theirs.
    assert!(took < Duration::from_secs(5), "{took:?}");
    world.close().await;
}
