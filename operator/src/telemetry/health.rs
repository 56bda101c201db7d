//! What the process knows of itself: is it ready, does it lead, what do the conditions say.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{LEADER, conditions};

/// An object and its conditions.
#[derive(Clone, Debug)]
pub struct Conditioned {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

type Source = Box<dyn Fn(&mut dyn FnMut(Conditioned)) + Send + Sync>;

/// Shared by what finds out and by what is asked over HTTP.
#[derive(Clone, Default)]
pub struct Health(Arc<Inner>);

#[derive(Default)]
struct Inner {
    ready: AtomicBool,
    leading: AtomicBool,
    conditions: OnceLock<Source>,
}

impl Health {
    /// The caches are filled: this process could lead at once. True of a standby too.
    pub fn set_ready(&self) {
        self.0.ready.store(true, Ordering::Relaxed);
    }

    /// Whether [`Health::set_ready`] was called.
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Relaxed)
    }

    /// This process begins or ends to lead.
    pub fn set_leading(&self, leading: bool) {
        self.0.leading.store(leading, Ordering::Relaxed);
        metrics::gauge!(LEADER).set(i32::from(leading));
    }

    /// Where conditions are read from, at each scrape: what is gone from there is gone from the
    /// metrics. The first source stays.
    pub fn read_conditions_from(
        &self,
        each: impl Fn(&mut dyn FnMut(Conditioned)) + Send + Sync + 'static,
    ) {
        let _ = self.0.conditions.set(Box::new(each));
    }

    /// The metric of all conditions as text; nothing from a standby, which would double it.
    pub(super) fn condition_lines(&self) -> String {
        let mut text = String::new();
        if let Some(source) = self.0.conditions.get()
            && self.0.leading.load(Ordering::Relaxed)
        {
            conditions::begin(&mut text);
            source(&mut |object| conditions::write(&mut text, &object));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_at_each_scrape_and_only_from_the_leader() {
        let health = Health::default();
        let gone = Arc::new(AtomicBool::new(false));
        let source = gone.clone();
        health.read_conditions_from(move |each| {
            if !source.load(Ordering::Relaxed) {
                each(Conditioned {
                    namespace: "ns".into(),
                    name: "a".into(),
                    conditions: vec![conditions::tests::condition("Ready", "True", "UpToDate")],
                });
            }
        });
        assert_eq!(health.condition_lines(), "");
        health.set_leading(true);
        assert!(health.condition_lines().contains("name=\"a\""));
        gone.store(true, Ordering::Relaxed);
        assert!(!health.condition_lines().contains("name=\"a\""));
    }
}
