//! Messages counted by type.

use super::message::header::MessageType;

/// Messages by type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// OPEN
    pub opens: u64,
    /// UPDATE
    pub updates: u64,
    /// NOTIFICATION
    pub notifications: u64,
    /// KEEPALIVE
    pub keepalives: u64,
    /// ROUTE-REFRESH
    pub route_refreshes: u64,
}

impl MessageCounts {
    pub(super) fn add(&mut self, kind: MessageType) {
        let count = match kind {
            MessageType::Open => &mut self.opens,
            MessageType::Update => &mut self.updates,
            MessageType::Notification => &mut self.notifications,
            MessageType::Keepalive => &mut self.keepalives,
            MessageType::RouteRefresh => &mut self.route_refreshes,
        };
        *count = count.saturating_add(1);
    }

    /// Adds the counts of a session that is over to its neighbour's.
    pub fn merge(&mut self, other: &MessageCounts) {
        self.opens = self.opens.saturating_add(other.opens);
        self.updates = self.updates.saturating_add(other.updates);
        self.notifications = self.notifications.saturating_add(other.notifications);
        self.keepalives = self.keepalives.saturating_add(other.keepalives);
        self.route_refreshes = self.route_refreshes.saturating_add(other.route_refreshes);
    }
}
