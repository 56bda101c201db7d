//! A pass, with the real [`machine`] and [`rollout::plan`], as `controller/{survey,pass}.rs` make it.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use post_operator::api::v1alpha1::{ImageRef, RolloutStep};
use post_operator::build::Revision;
use post_operator::build::revision::Content;
use post_operator::controller::validate::{self, Validated};
use post_operator::database::{DatabaseError, DatabaseFacts};
use post_operator::registry::{Digest, RegistryImage};
use post_operator::rollout::machine::{self, Candidate, Judged, Memory, Seen};
use post_operator::rollout::quarantine::Ask;
use post_operator::rollout::trial::{Evidence, Pause, Trial};
use post_operator::rollout::{self, Aim, JobState, Migration, MigrationJob, Observed, Plan};
use post_operator::rollout::{Running, Step, Workload};
use serde_json::json;

use crate::cluster::{self, Deployment};
use crate::memory::{note, status};
use crate::watch;
use crate::world::{Asked, Job, Note, Report, Rev, WANTED, World};

/// What does not change from pass to pass.
pub struct Operator {
    spec: Validated,
    held: Validated,
    revisions: Vec<Arc<Revision>>,
}

/// What a pass has decided, before its first write.
pub struct Decision {
    /// What it saw.
    pub seen: Seen,
    /// What it remembers.
    pub memory: Memory,
    /// What it plans.
    pub plan: Plan,
    note: Note,
    wanted: Option<Rev>,
    known: u8,
}

impl Default for Operator {
    fn default() -> Self {
        Self {
            spec: spec(false),
            held: spec(true),
            revisions: Rev::all().map(|rev| Arc::new(revision(rev))).collect(),
        }
    }
}

fn spec(hold: bool) -> Validated {
    let object = json!({
        "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
        "metadata": {"name": "post-service", "namespace": "ns", "uid": "u"},
        "spec": {
            "image": {"repository": "registry.example.com/post-service", "tag": "1"},
            "rollout": {"hold": hold},
        },
    });
    validate::spec(&serde_json::from_value(object).unwrap()).unwrap()
}

/// Digest of an image.
pub fn digest(image: u8) -> Digest {
    Digest::parse(&format!("sha256:{image:064}")).unwrap()
}

fn revision(rev: Rev) -> Revision {
    Revision {
        id: format!("{}{}", rev.image, rev.secrets),
        number: 0,
        digest: digest(rev.image),
        content: Content {
            image: ImageRef {
                digest: digest(rev.image).to_string(),
                ..ImageRef::default()
            },
            inputs: post_operator::build::PodInputs::default(),
            fingerprint: rev.secrets.to_string(),
            account: None,
            env: None,
        },
        template: k8s_openapi::api::core::v1::PodTemplateSpec::default(),
    }
}

/// The revision of this id.
pub fn rev(id: &str) -> Rev {
    let digits = id.as_bytes();
    Rev {
        image: digits[0] - b'0',
        secrets: digits[1] - b'0',
    }
}

fn ask(asked: Asked) -> Ask {
    Ask {
        generation: Some(asked.generation.into()),
        retry: Some(asked.retry.to_string()),
        by_policy: false,
    }
}

impl Operator {
    fn candidate(&self, rev: Rev) -> Candidate {
        self.revisions[rev.index()].candidate()
    }

    /// What the status says of the last pass, and the machine of that.
    fn remembered(&self, world: &World, live: Option<Deployment>) -> Memory {
        let find = |id: &str| {
            let found = rev(id);
            (world.kept & found.bit() != 0).then(|| self.candidate(found))
        };
        let mut memory = Memory::of(&status(&world.note, world.report), find);
        if let (None, Some(live)) = (&memory.current, live) {
            let running = find(&id(live.told));
            let is_good = running.is_some() && world.report.good == Some(live.told.image);
            memory.take_over(running, is_good);
        }
        memory
    }

    /// What a pass decides that begins now.
    pub fn decide(&self, world: &World, stale: bool) -> Decision {
        let live = if stale { world.cache } else { world.deployment };
        let memory = self.remembered(world, live);
        let is_known = world.registry || world.report.desired == Some(world.wanted.image);
        let wanted = is_known.then_some(world.wanted);
        let good = memory.good.as_ref().map(|good| rev(&good.id));
        let fallback = good.map(|good| Rev {
            secrets: world.wanted.secrets,
            ..good
        });
        let ask = ask(world.asked);
        let [asked_for, otherwise] =
            [wanted, fallback].map(|rev| rev.map(|rev| self.candidate(rev)));
        let target = machine::target(&memory, &ask, asked_for.as_ref(), otherwise.as_ref());
        let observed = observed(world, live, target.as_ref());
        let seen = Seen {
            target: target.clone(),
            ask,
            hold: world.hold,
            rollback: true,
            bake: true,
            ready: observed.is_ready(),
            migrated: observed.is_migrated(),
            serving: live.is_some_and(|live| live.available > 0),
            judged: judged(world, &memory, live),
            now: Timestamp::UNIX_EPOCH + k8s_openapi::jiff::SignedDuration::from_secs(1),
        };
        let next = machine::next(&memory, &seen);
        let (made, fallen) = (wanted.map_or(0, Rev::bit), fallback.map_or(0, Rev::bit));
        let known = world.kept | made | fallen;
        let find = |id: &str| {
            let found = rev(id);
            (known & found.bit() != 0).then(|| self.revisions[found.index()].clone())
        };
        let aim = Aim {
            image: wanted.map(|_| ImageRef::default()),
            wanted: wanted.map(|wanted| self.revisions[wanted.index()].clone()),
            target,
            current: next.current.as_ref().and_then(|current| find(&current.id)),
            unsettled: false,
        };
        let spec = if world.hold { &self.held } else { &self.spec };
        Decision {
            plan: rollout::plan(spec, &next, &aim, &observed),
            note: note(&next),
            seen,
            memory: next,
            wanted,
            known,
        }
    }

    /// Writes of a pass that begins now; none: it cannot be disturbed any more.
    pub fn writes(&self, world: &World, stale: bool) -> u8 {
        if world.left.disturbances == 0 || stale && world.cache == world.deployment {
            return 0;
        }
        let mut copy = world.clone();
        self.carry_out(&mut copy, stale, u8::MAX)
    }

    /// A pass, up to where it is killed.
    pub fn pass(&self, world: &mut World, stale: bool, killed: Option<u8>) {
        let is_void = stale && world.cache == world.deployment;
        if is_void || stale && world.left.disturbances == 0 {
            return;
        }
        world.left.disturbances -= u8::from(stale) + u8::from(killed.is_some() && !stale);
        self.carry_out(world, stale, killed.unwrap_or(u8::MAX));
    }

    /// The writes of a pass in their order, `limit` of them at most: how many there were.
    fn carry_out(&self, world: &mut World, stale: bool, limit: u8) -> u8 {
        let decision = self.decide(world, stale);
        if !stale {
            world.cache = world.deployment;
        }
        let steps: [fn(&mut World, &Decision); 6] =
            [keep, watch::decision, record, migrate, deploy, report];
        let mut writes = 0;
        for step in steps {
            if writes == limit {
                break;
            }
            let before = world.clone();
            step(world, &decision);
            writes += u8::from(world.is_written(&before));
        }
        writes
    }
}

fn record(world: &mut World, decision: &Decision) {
    world.note.clone_from(&decision.note);
    let restarted = decision.memory.progress_at == Some(decision.seen.now);
    if restarted {
        (world.baked, world.late, world.erring) = (false, false, false);
    }
}

fn keep(world: &mut World, decision: &Decision) {
    let needed = [decision.note.pending, decision.note.current];
    let known = |rev: &Rev| decision.known & rev.bit() != 0;
    for rev in needed.into_iter().flatten().filter(known) {
        world.kept |= rev.bit();
    }
}

fn migrate(world: &mut World, decision: &Decision) {
    let image = |digest: &Digest| usize::from(digest.as_str().as_bytes()[70] - b'0');
    match &decision.plan.migration {
        MigrationJob::Run(digest) => {
            let made = Job::Running(world.asked, world.wanted.secrets);
            world.jobs[image(digest)].get_or_insert(made);
        }
        MigrationJob::Remove(digest) => world.jobs[image(digest)] = None,
        MigrationJob::Keep => {}
    }
}

/// The Deployment; then what nobody needs any more goes.
fn deploy(world: &mut World, decision: &Decision) {
    if let Workload::Run { revision, baking } = &decision.plan.workload {
        let told = rev(&revision.id);
        watch::telling(world, told);
        cluster::apply(world, told, *baking);
    }
    let note = &decision.note;
    let needed = [note.current, note.good, note.pending];
    let needed = needed.into_iter().flatten();
    let needed = needed.fold(0, |bits, rev| bits | rev.bit());
    if needed != 0 {
        world.kept &= needed;
    }
}

fn report(world: &mut World, decision: &Decision) {
    let applied = world.cache.map(|live| (live.told, live.baking))
        != world.deployment.map(|live| (live.told, live.baking));
    let desired = decision.wanted.map(|wanted| wanted.image);
    world.report = Report {
        desired: desired.or(world.report.desired),
        good: decision.note.good.map(|good| good.image),
        idle: (decision.plan.step == Step::Idle && !applied).then_some(world.asked.generation),
        generation: Some(world.asked.generation),
    };
}

/// What the machine is told of the Deployment.
fn judged(world: &World, memory: &Memory, live: Option<Deployment>) -> Option<Judged> {
    let current = rev(&memory.current.as_ref()?.id);
    let settled =
        world.report.idle == Some(world.asked.generation) && world.note.step == RolloutStep::Idle;
    let live = live.filter(|live| live.told == current);
    let complete = live.is_some_and(|live| live.is_complete(settled));
    Some(Judged {
        id: id(current),
        trial: trial(world, memory.step, current, complete),
        complete,
        progress_at: None,
    })
}

/// [`rollout::trial::judge`], with events for clocks.
fn trial(world: &World, step: RolloutStep, current: Rev, complete: bool) -> Trial {
    let pods = world.pods[current.index()];
    let baking = step == RolloutStep::Baking;
    let ready = pods.ready > 0 && pods.ready == pods.live();
    let others = world.pods.iter().map(|pods| pods.live()).sum::<u8>() > pods.live();
    let shared = match (world.database, world.ailing && others) {
        (false, _) => Some(Pause::Database),
        (true, true) => Some(Pause::Shared),
        (true, false) => None,
    };
    let failed = || shared.map_or(Trial::Failed(Evidence::default()), Trial::Paused);
    if pods.broken > 0 || world.ailing && pods.live() > 0 || baking && world.erring {
        return failed();
    }
    if ready && !world.database {
        Trial::Paused(Pause::Database)
    } else if ready && baking {
        if world.baked {
            Trial::Passed
        } else {
            Trial::Waiting
        }
    } else if !world.database {
        Trial::Paused(Pause::Database)
    } else if world.gated && pods.starting > 0 {
        Trial::Paused(Pause::LoadBalancer)
    } else if world.late && !complete {
        failed()
    } else {
        Trial::Waiting
    }
}

fn observed(world: &World, live: Option<Deployment>, target: Option<&Candidate>) -> Observed {
    let unreachable = DatabaseError::Unreachable {
        host: "db".into(),
        port: 3306,
        detail: String::new(),
    };
    let facts = DatabaseFacts {
        schema_version: Some(1),
        ..DatabaseFacts::default()
    };
    Observed {
        image: Some(Ok(RegistryImage {
            tag: None,
            digest: digest(world.wanted.image),
            pushed_at: None,
        })),
        secrets_ready: true,
        database: Some(if world.database {
            Ok(facts)
        } else {
            Err(unreachable)
        }),
        running: live.map(|live| Running {
            revision: Some(id(live.told)),
            complete: live.is_complete(false),
            pods: live.replicas.into(),
            available: live.available.into(),
            progress_at: None,
        }),
        migration: migration(world, target),
    }
}

fn migration(world: &World, target: Option<&Candidate>) -> Migration {
    let Some(target) = target.map(|target| rev(&target.id)) else {
        return Migration::Pending;
    };
    match world.jobs[usize::from(target.image)] {
        None => Migration::Pending,
        Some(Job::Running(..)) => Migration::Job(JobState::Running),
        Some(Job::Complete) => Migration::Job(JobState::Complete),
        Some(Job::Failed(asked, secrets))
            if asked == world.asked && secrets == world.wanted.secrets =>
        {
            Migration::Job(JobState::Failed)
        }
        Some(Job::Failed(..)) => Migration::Retry,
    }
}

/// Id of a revision.
pub fn id(rev: Rev) -> String {
    format!("{}{}", rev.image, rev.secrets)
}

/// Whether everything runs that `rev` asks for.
pub fn runs_only(world: &World, rev: Rev) -> bool {
    let others = world.serving() - world.pods[rev.index()].ready;
    world.pods[rev.index()].ready == WANTED && others == 0
}
