//! A state: the spec, the cluster, and what is remembered of the way to it.

use post_operator::api::v1alpha1::{QuarantineCause, RolloutStep};

use crate::cluster::{Deployment, Pods};
use crate::watch::{Breach, Witness};

/// Pods that the spec asks for.
pub const WANTED: u8 = 2;
/// Images: of these `BAD` never serves for long.
pub const IMAGES: u8 = 3;
const BAD: u8 = 1;
/// Secret values: either may be tried with any image.
pub const SECRETS: u8 = 2;
/// Revisions that there can be.
pub const REVISIONS: usize = (IMAGES * SECRETS) as usize;

/// An image with secret values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rev {
    /// Its image.
    pub image: u8,
    /// Its secret values.
    pub secrets: u8,
}

impl Rev {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let secrets = |image| (0..SECRETS).map(move |secrets| Self { image, secrets });
        (0..IMAGES).flat_map(secrets)
    }

    /// Its place among all.
    pub fn index(self) -> usize {
        usize::from(self.image * SECRETS + self.secrets)
    }

    /// Its bit in a set of them.
    pub fn bit(self) -> u8 {
        1 << self.index()
    }
}

/// Who asks: generation and retry token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Asked {
    /// `metadata.generation`.
    pub generation: u8,
    /// Value of the retry annotation.
    pub retry: u8,
}

/// How much may happen on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Changes that people make.
    pub changes: u8,
    /// Troubles of the surroundings.
    pub troubles: u8,
    /// Times that the operator is killed within a pass, or reads what is no more.
    pub disturbances: u8,
}

impl Budget {
    /// For every run: two changes, or one and something that goes wrong.
    pub const SMALL: [Self; 3] = [Self::of(2, 0, 0), Self::of(1, 1, 0), Self::of(1, 0, 1)];
    /// Steps of a path of [`Self::SMALL`].
    pub const DEPTH: usize = 18;
    /// For the long run: all of it together.
    pub const LARGE: [Self; 1] = [Self::of(2, 1, 1)];
    /// Steps of a path of [`Self::LARGE`].
    pub const LARGE_DEPTH: usize = 20;

    const fn of(changes: u8, troubles: u8, disturbances: u8) -> Self {
        Self {
            changes,
            troubles,
            disturbances,
        }
    }
}

/// An entry of `.status.quarantine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ban {
    pub rev: Rev,
    pub cause: QuarantineCause,
    pub asked: Asked,
}

/// `.status.rollout` and `.status.quarantine`, without times and history.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Note {
    pub step: RolloutStep,
    pub current: Option<Rev>,
    pub good: Option<Rev>,
    pub pending: Option<Rev>,
    pub paused: bool,
    pub quarantine: Vec<Ban>,
}

impl Note {
    /// Whether just what its step allows is on its way.
    pub fn is_one_rollout(&self) -> bool {
        let proven = self.current.is_none() || self.current == self.good;
        match self.step {
            RolloutStep::Idle | RolloutStep::RollingBack => self.pending.is_none() && proven,
            RolloutStep::Migrating => self.pending.is_some() && self.pending != self.current,
            RolloutStep::Baking => self.pending == self.current && !proven && self.good.is_some(),
            RolloutStep::RollingOut => self.pending == self.current && !proven,
        }
    }
}

/// The rest of the status that a later pass reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Report {
    /// `.status.image.desired`.
    pub desired: Option<u8>,
    /// `.status.image.lastGood`.
    pub good: Option<u8>,
    /// `.status.phase` is `Idle`, of this generation.
    pub idle: Option<u8>,
    /// `.status.observedGeneration`.
    pub generation: Option<u8>,
}

/// Where an image's migration Job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    Running(Asked, u8),
    Complete,
    /// Failed; asked for by whom, and with which Secrets.
    Failed(Asked, u8),
}

/// A state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    // What people ask for.
    pub wanted: Rev,
    pub asked: Asked,
    pub hold: bool,
    /// The second Secret values are wrong.
    pub bad_secrets: bool,
    // The surroundings.
    pub registry: bool,
    pub database: bool,
    /// The load balancer registers no pods.
    pub gated: bool,
    /// Pods of every revision are in trouble.
    pub ailing: bool,
    // The cluster.
    pub note: Note,
    pub report: Report,
    /// `ControllerRevisions` that there are.
    pub kept: u8,
    pub jobs: [Option<Job>; IMAGES as usize],
    pub deployment: Option<Deployment>,
    /// The Deployment, as the operator's cache knew it when it was last up to date.
    pub cache: Option<Deployment>,
    pub pods: [Pods; REVISIONS],
    // Clocks of the trial.
    /// The first pod has served alone for long enough.
    pub baked: bool,
    /// The deadline is over.
    pub late: bool,
    /// The first pod answers with errors.
    pub erring: bool,
    // What is left to happen.
    pub left: Budget,
    // What was seen on the way.
    pub witness: Witness,
    pub breach: Option<Breach>,
}

impl World {
    /// The first install, and a service that runs, with the second Secret values good and bad.
    pub fn starts(budget: Budget) -> Vec<Self> {
        let blank = Self {
            wanted: Rev {
                image: 0,
                secrets: 0,
            },
            asked: Asked::default(),
            hold: false,
            bad_secrets: false,
            registry: true,
            database: true,
            gated: false,
            ailing: false,
            note: Note::default(),
            report: Report::default(),
            kept: 0,
            jobs: Default::default(),
            deployment: None,
            cache: None,
            pods: Default::default(),
            baked: false,
            late: false,
            erring: false,
            left: budget,
            witness: Witness::default(),
            breach: None,
        };
        let running = blank.clone().running();
        let both = |world: Self| {
            [false, true].map(|bad_secrets| Self {
                bad_secrets,
                ..world.clone()
            })
        };
        [both(blank), both(running)].into_iter().flatten().collect()
    }

    /// What is wanted runs, and has for long.
    fn running(mut self) -> Self {
        let rev = self.wanted;
        self.note.current = Some(rev);
        self.note.good = Some(rev);
        self.report = Report {
            desired: Some(rev.image),
            good: Some(rev.image),
            idle: Some(0),
            generation: Some(0),
        };
        self.kept = rev.bit();
        self.jobs[usize::from(rev.image)] = Some(Job::Complete);
        self.pods[rev.index()].ready = WANTED;
        self.deployment = Some(Deployment::running(rev));
        self.cache = self.deployment;
        self.witness.migrated[usize::from(rev.image)] = true;
        self.witness.served = true;
        self
    }

    /// Whether pods of `rev` can serve for long.
    pub fn is_bad(&self, rev: Rev) -> bool {
        rev.image == BAD || self.bad_secrets && rev.secrets == 1
    }

    /// Pods of every revision that serve.
    pub fn serving(&self) -> u8 {
        self.pods.iter().map(|pods| pods.ready).sum()
    }

    /// Whether what the Deployment is told to run has no trial to go through any more.
    pub fn is_proven(&self) -> bool {
        self.note.current.is_none() || self.note.current == self.note.good
    }

    /// Whether something was written since `before`.
    pub fn is_written(&self, before: &Self) -> bool {
        let objects = |world: &Self| (world.kept, world.jobs, world.deployment, world.report);
        self.note != before.note || objects(self) != objects(before)
    }

    /// Whether `breach` did not happen.
    pub fn lacks(&self, breach: Breach) -> bool {
        self.breach != Some(breach)
    }

    /// Whether a revision of this image was undone, and the old pods are all that is left.
    pub fn has_undone(&self, image: u8) -> bool {
        let mut bans = self.note.quarantine.iter();
        let first = self.pods[0].ready == WANTED && self.note.step == RolloutStep::Idle;
        first && bans.any(|ban| ban.rev.image == image) && self.serving() == WANTED
    }

    /// Whether another image than the first has become the good one.
    pub fn has_taken_over(&self) -> bool {
        self.note.good.is_some_and(|good| good.image != 0) && self.note.step == RolloutStep::Idle
    }
}
