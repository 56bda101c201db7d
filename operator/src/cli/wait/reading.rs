use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::conditions::{ConditionType, Truth};
use crate::api::v1alpha1::{PostService, PostServiceStatus};

/// What may be believed of a `PostService`: conditions count only if they speak of its present spec.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The object.
    pub service: &'a PostService,
    /// Its status, if it has one.
    pub status: Option<&'a PostServiceStatus>,
}

impl<'a> Reading<'a> {
    /// Reads `service`.
    pub fn of(service: &'a PostService) -> Self {
        Self {
            service,
            status: service.status.as_ref(),
        }
    }

    /// Generation of the spec.
    pub fn generation(self) -> i64 {
        self.service.metadata.generation.unwrap_or_default()
    }

    /// The condition, if it speaks of the present spec.
    pub fn condition(self, type_: ConditionType) -> Option<&'a Condition> {
        let generation = self.generation();
        self.status?.conditions.iter().find(|condition| {
            condition.type_ == type_.as_str() && condition.observed_generation >= Some(generation)
        })
    }

    /// The condition, if it speaks of the present spec and has this value.
    pub fn with(self, type_: ConditionType, truth: Truth) -> Option<&'a Condition> {
        self.condition(type_)
            .filter(|condition| condition.status == truth.as_str())
    }

    /// The tag that pods run by.
    pub fn running_tag(self) -> Option<&'a str> {
        self.status?.image.current.as_ref()?.tag.as_deref()
    }
}
