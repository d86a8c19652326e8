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
pub use measures::{Counts, Measures, PoolMeasure, Usage};
pub use session::{BfdView, FailureView, MessagesView, NegotiatedView, SessionState, SessionView};
pub use target::{RouteView, ServiceView, ServicesView, TargetState, TargetView};

#[cfg(test)]
mod tests {
    use serde_json::from_str;

    use super::*;

    #[test]
    fn states_have_one_name() {
        for name in InstanceState::NAMES {
            assert_eq!(from_str::<InstanceState>(&format!("{name:?}")).unwrap().name(), name);
        }
        for name in SessionState::NAMES {
            assert_eq!(from_str::<SessionState>(&format!("{name:?}")).unwrap().name(), name);
        }
        for name in AnnouncementState::NAMES {
            assert_eq!(from_str::<AnnouncementState>(&format!("{name:?}")).unwrap().name(), name);
        }
    }

    /// What an instance of another version says is read as far as it is known.
    #[test]
    fn values_of_other_versions_are_read() {
        let status = r#"{"version": "9.0.0", "state": "asleep", "new": [{}], "connections": 3,
            "sessions": [{"name": "a", "state": "stale", "bfd": {"state": "up"}}],
            "services": {"listed": [{"service": "web"}]}}"#;
        let status: StatusView = from_str(status).unwrap();
        assert_eq!((status.instance.version.as_str(), status.instance.connections), ("9.0.0", 3));
        assert_eq!(status.instance.state, InstanceState::Unknown);
        assert_eq!(status.sessions[0].state, SessionState::Unknown);
        assert_eq!(status.services.listed[0].service, "web");
        assert!(status.announcements.is_empty() && status.instance.stop.is_none());
    }

    /// The example behind a heading of the document is all that is told.
    fn documented<T: serde::Serialize + serde::de::DeserializeOwned>(heading: &str) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/admin.md");
        let document = std::fs::read_to_string(path).unwrap();
        let (_, section) = document.split_once(&format!("\n### {heading}\n")).unwrap();
        let (_, example) = section.split_once("```json\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let value: serde_json::Value = from_str(example).unwrap();
        let view: T = from_str(example).unwrap();
        assert_eq!(serde_json::to_value(view).unwrap(), value, "{heading}");
    }

    #[test]
    fn the_document_shows_all_members() {
        documented::<StatusView>("`/api/status`");
        documented::<Vec<SessionView>>("`/api/bgp/peers`");
        documented::<AnnouncementView>("`/api/announcements` and `/api/announcements/PREFIX`");
    }
}
