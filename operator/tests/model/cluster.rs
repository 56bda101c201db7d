//! The Deployment and its controller: the rules of `kubernetes/pkg/controller/deployment/rolling.go`
//! for `maxUnavailable: 0` and a surge of one pod.

use crate::world::{REVISIONS, Rev, WANTED, World};

const SURGE: u8 = 1;

/// Pods of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Pods {
    /// They start.
    pub starting: u8,
    /// They serve.
    pub ready: u8,
    /// They crash, or never come up.
    pub broken: u8,
    /// Their `ReplicaSet` was made while baking: its pods never count as available.
    pub never: bool,
}

impl Pods {
    /// Pods that there are.
    pub fn live(self) -> u8 {
        self.starting + self.ready + self.broken
    }

    /// Pods that its `ReplicaSet` calls available.
    fn available(self) -> u8 {
        if self.never { 0 } else { self.ready }
    }

    /// One goes: an unhealthy one first.
    fn remove(&mut self) {
        let health = [&mut self.broken, &mut self.starting, &mut self.ready];
        if let Some(count) = health.into_iter().find(|count| **count > 0) {
            *count -= 1;
        }
    }
}

/// The Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deployment {
    /// What it is told to run.
    pub told: Rev,
    /// One pod of it beside all others.
    pub baking: bool,
    /// Its status is of what it is told now.
    pub observed: bool,
    /// `.status.updatedReplicas`.
    pub updated: u8,
    /// `.status.replicas`.
    pub replicas: u8,
    /// `.status.availableReplicas`.
    pub available: u8,
}

impl Deployment {
    /// One that runs `told`, and nothing else.
    pub fn running(told: Rev) -> Self {
        Self {
            told,
            baking: false,
            observed: true,
            updated: WANTED,
            replicas: WANTED,
            available: WANTED,
        }
    }

    /// The rule of `kubectl rollout status`, as [`post_operator::rollout::running`] has it.
    pub fn is_complete(self, settled: bool) -> bool {
        (self.observed || settled)
            && self.updated >= WANTED
            && self.replicas <= self.updated
            && self.available >= WANTED
    }
}

/// The operator applies the Deployment.
pub fn apply(world: &mut World, told: Rev, baking: bool) {
    let new = Deployment {
        told,
        baking,
        observed: false,
        updated: 0,
        replicas: 0,
        available: 0,
    };
    let live = world.deployment.get_or_insert(new);
    if (live.told, live.baking) != (told, baking) {
        (live.told, live.baking, live.observed) = (told, baking, false);
    }
}

/// The controller takes one step.
pub fn control(world: &mut World) {
    let Some(live) = world.deployment else {
        return;
    };
    if live.observed {
        scale(world, live);
    } else {
        world.pods[live.told.index()].never = live.baking;
    }
    report(world);
}

/// Writes the Deployment's status.
pub fn report(world: &mut World) {
    let Some(live) = &mut world.deployment else {
        return;
    };
    live.observed = true;
    live.updated = world.pods[live.told.index()].live();
    live.replicas = world.pods.iter().map(|pods| pods.live()).sum();
    live.available = world.pods.iter().map(|pods| pods.available()).sum();
}

/// A pod comes, or one goes.
fn scale(world: &mut World, live: Deployment) {
    let total: u8 = world.pods.iter().map(|pods| pods.live()).sum();
    let new = &mut world.pods[live.told.index()];
    if new.live() > WANTED {
        new.remove();
        return;
    }
    if new.live() < WANTED && total < WANTED + SURGE {
        new.starting += 1;
        return;
    }
    let unavailable = new.live() - new.available();
    if total <= WANTED + unavailable {
        return;
    }
    let available: u8 = world.pods.iter().map(|pods| pods.available()).sum();
    let old = |index: &usize| *index != live.told.index();
    let mut unhealthy = (0..REVISIONS).filter(old).filter(|index| {
        let pods = world.pods[*index];
        pods.live() > pods.available()
    });
    if let Some(index) = unhealthy.next() {
        let pods = &mut world.pods[index];
        pods.remove();
        return;
    }
    let healthy = (0..REVISIONS)
        .filter(old)
        .find(|index| world.pods[*index].live() > 0);
    if let Some(index) = healthy.filter(|_| available > WANTED) {
        world.pods[index].remove();
    }
}
