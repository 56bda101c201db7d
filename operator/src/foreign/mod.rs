//! Kinds of other operators, of which the cluster may know none: only the fields that are used.

mod service_monitor;
mod target_group_binding;

pub use service_monitor::{Endpoint, ServiceMonitor, ServiceMonitorSpec};
pub use target_group_binding::{
    ServiceReference, TargetGroupBinding, TargetGroupBindingSpec, TargetGroupBindingStatus,
};
