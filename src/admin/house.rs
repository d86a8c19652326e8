//! What the admin room asks of those who know.

use std::time::Duration;

use ipnet::IpNet;

use super::view::{
    AnnouncementView, HealthView, InstanceView, Measures, RouteView, ServiceView, SessionView,
    TargetView,
};
use crate::config::InForce;
use crate::reactor::Time;

/// What the loop knows of itself when a question is asked.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// When this turn began.
    pub now: Time,
    /// The wall clock then, since the Unix epoch.
    pub wall: Duration,
    /// Turns so far.
    pub turns: u64,
    /// The longest of them.
    pub longest_turn: Duration,
    /// Panics of the one who asks, caught at the edge of a connection.
    pub panics: u64,
}

/// Some of many, and where the next ones begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice<T> {
    /// In their order; none only where there is no more.
    pub items: Vec<T>,
    /// What to ask with next; none: that was all.
    pub next: Option<u64>,
}

impl<T> Slice<T> {
    /// All there are.
    pub fn whole(items: Vec<T>) -> Slice<T> {
        Slice { items, next: None }
    }
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such prefix (404).
    Unknown(String),
    /// Not as things stand (409).
    Conflict(String),
}

/// Those who know. No answer may take longer than a part of a turn, so there
/// may be many of something only where it is asked for in slices: `from` is 0 at
/// first and then what [`Slice::next`] said, and `most` items are wanted. What
/// changes between two questions may be told twice or not at all; what does not
/// is told once.
pub trait House {
    /// The process, without what is asked for by itself.
    fn instance(&self, at: &Moment) -> InstanceView;
    /// What `/health` says. Asked often, so it must be cheap.
    fn health(&self, at: &Moment) -> HealthView;
    /// The neighbours, in the order of the settings, dynamic ones last.
    fn sessions(&self, at: &Moment, from: u64, most: usize) -> Slice<SessionView>;
    /// The prefixes, in the order of the settings, with no
    /// [`AnnouncementView::peers`].
    fn announcements(&self, at: &Moment, from: u64, most: usize) -> Slice<AnnouncementView>;
    /// One prefix, with what each neighbour was sent; `None`: there is no such.
    fn announcement(&self, at: &Moment, prefix: &IpNet) -> Option<AnnouncementView>;
    /// The services by name.
    fn services(&self, at: &Moment, from: u64, most: usize) -> Slice<ServiceView>;
    /// The targets of all services.
    fn targets(&self, at: &Moment, from: u64, most: usize) -> Slice<TargetView>;
    /// The targets of all routes, by host, then by path downwards.
    fn routes(&self, from: u64, most: usize) -> Slice<RouteView>;
    /// The same as commands of the route language, each a line with its end;
    /// as in fabio without the targets that get no traffic.
    fn route_commands(&self, from: u64, most: usize) -> Slice<String>;
    /// What is counted.
    fn measures(&self, at: &Moment) -> Measures;
    /// The value in force of each setting, with secrets masked.
    fn config(&self) -> Vec<InForce>;
    /// Withdraws one prefix or everything, until [`House::resume`]. It is
    /// remembered here and happens in the next turn. The answer is a sentence
    /// that says what begins.
    ///
    /// # Errors
    /// Why not, as a sentence.
    fn drain(&mut self, at: &Moment, prefix: Option<IpNet>) -> Result<String, Refusal>;
    /// Takes that back.
    ///
    /// # Errors
    /// Why not, as a sentence.
    fn resume(&mut self, at: &Moment, prefix: Option<IpNet>) -> Result<String, Refusal>;
}
