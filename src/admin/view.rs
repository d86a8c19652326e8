//! What is told about the running instance: plain values, which are the JSON of
//! the API and what the commands show.
//!
//! Times are milliseconds, and ages rather than dates unless a name says
//! otherwise, so that a reader needs no clock that agrees with ours. Nothing in
//! here is a secret. A reader takes values of another version: what it does not
//! know it passes over, and what is missing is empty.

mod announcement;
mod instance;
mod measures;
mod session;
mod target;

pub use announcement::{
    AddressView, AnnouncementState, AnnouncementView, ConditionView, NextView, PathView, SentView,
};
pub use instance::{
    HealthView, InstanceState, InstanceView, ListenerView, MaintenanceView, RegistryView,
    StatusView, StopView,
};
pub use measures::{Counts, Measures, PoolMeasure};
pub use session::{BfdView, FailureView, MessagesView, NegotiatedView, SessionState, SessionView};
pub use target::{RouteView, ServiceView, ServicesView, TargetState, TargetView};
