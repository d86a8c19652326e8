//! What the daemon tells of itself: the views of the admin room, filled from
//! what the other rooms know. A file for each kind of thing; this one says which.
//!
//! Whatever there may be thousands of is told in slices, and what would take a
//! walk over thousands to find out is counted as it happens.

mod announcements;
mod instance;
mod measures;
mod routes;
mod sessions;
mod tally;
mod targets;
#[cfg(test)]
mod testing;

use std::time::Duration;

use ipnet::IpNet;

pub(super) use self::tally::Tally;
use super::Daemon;
use crate::admin::view::{
    AnnouncementView, HealthView, InstanceView, Measures, RouteView, ServiceView, SessionView,
    TargetView,
};
use crate::admin::{House, Moment, Refusal, Slice};
use crate::config::InForce;
use crate::reactor::Time;

/// Most octets that are told of one setting: there may be a whole route table in
/// it, or thousands of neighbours.
const LONGEST_VALUE: usize = 32 * 1024;

impl House for Daemon {
    fn instance(&self, at: &Moment) -> InstanceView {
        self.tell_instance(at)
    }

    fn health(&self, at: &Moment) -> HealthView {
        self.tell_health(at.now)
    }

    fn sessions(&self, at: &Moment, from: u64, most: usize) -> Slice<SessionView> {
        self.tell_sessions(at.now, from, most)
    }

    fn announcements(&self, at: &Moment, from: u64, most: usize) -> Slice<AnnouncementView> {
        self.tell_announcements(at.now, from, most)
    }

    fn announcement(&self, at: &Moment, prefix: &IpNet) -> Option<AnnouncementView> {
        self.tell_announcement(at.now, prefix)
    }

    fn services(&self, _: &Moment, from: u64, most: usize) -> Slice<ServiceView> {
        self.switchboard.tell_services(from, most)
    }

    fn targets(&self, at: &Moment, from: u64, most: usize) -> Slice<TargetView> {
        self.switchboard.tell_targets(at.now, from, most)
    }

    fn routes(&self, from: u64, most: usize) -> Slice<RouteView> {
        routes::views(self.switchboard.table(), from, most)
    }

    fn route_commands(&self, from: u64, most: usize) -> Slice<String> {
        routes::commands(self.switchboard.table(), from, most)
    }

    fn measures(&self, at: &Moment) -> Measures {
        self.tell_measures(at)
    }

    fn config(&self) -> Vec<InForce> {
        let effective = self.effective.iter();
        effective.flat_map(|it| it.values_within(LONGEST_VALUE)).collect()
    }

    fn drain(&mut self, at: &Moment, prefix: Option<IpNet>) -> Result<String, Refusal> {
        self.refuse_unknown(prefix)?;
        self.drain_by_operator(at.now, prefix).map_err(Refusal::Conflict)
    }

    fn resume(&mut self, _: &Moment, prefix: Option<IpNet>) -> Result<String, Refusal> {
        // One that is no longer configured may still be withdrawn.
        let is_drained = prefix.is_some_and(|prefix| self.announcing.drains.has(&prefix));
        if !is_drained {
            self.refuse_unknown(prefix)?;
        }
        self.resume_by_operator(prefix).map_err(Refusal::Conflict)
    }
}

impl Daemon {
    fn refuse_unknown(&self, prefix: Option<IpNet>) -> Result<(), Refusal> {
        let is_known = |prefix: &IpNet| self.place_of(prefix).is_some();
        match prefix.filter(|prefix| !is_known(prefix)) {
            Some(prefix) => {
                Err(Refusal::Unknown(format!("{prefix} is not in bgp.anycastaddresses")))
            }
            None => Ok(()),
        }
    }
}

/// Whole milliseconds.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How long until then.
fn until(now: Time, at: Time) -> u64 {
    millis(at.since(now))
}

/// How long since then.
fn since(now: Time, at: Time) -> u64 {
    millis(now.since(at))
}

/// A number as it is told.
fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Some of a list, from a place on.
fn slice<'a, I, T>(
    items: &'a [I],
    from: u64,
    most: usize,
    view: impl Fn(usize, &'a I) -> T,
) -> Slice<T> {
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    let most = most.max(1);
    let some = items.iter().enumerate().skip(from).take(most);
    let next = from.saturating_add(most);
    Slice {
        items: some.map(|(place, item)| view(place, item)).collect(),
        next: (next < items.len()).then(|| count(next)),
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Lab, Pair};
    use super::*;
    use crate::config::Value;

    #[test]
    fn a_list_is_told_in_slices() {
        let list: Vec<u32> = (0..5).collect();
        for most in 0..7 {
            let all = testing::all(most, |from, most| slice(&list, from, most, |_, it| *it));
            assert_eq!(all, list, "{most}");
        }
        let all = testing::all(3, |from, most| slice(&list, from, most, |place, _| place));
        assert_eq!(all, [0, 1, 2, 3, 4], "the places are those of the whole list");
        assert_eq!(slice(&list, u64::MAX, 3, |_, it| *it), Slice::default());
    }

    #[test]
    fn orders_reach_the_announcer_and_nonsense_does_not() {
        let mut lab = Pair::established("").one;
        let at = lab.moment();
        let prefix: IpNet = "198.51.100.0/24".parse().expect("a prefix");
        let stranger: IpNet = "192.0.2.0/24".parse().expect("a prefix");
        let unknown = Err(Refusal::Unknown("192.0.2.0/24 is not in bgp.anycastaddresses".into()));
        assert_eq!(lab.daemon.drain(&at, Some(stranger)), unknown);
        assert_eq!(lab.daemon.resume(&at, Some(stranger)), unknown);
        let said = lab.daemon.drain(&at, Some(prefix)).expect("it can be");
        assert!(said.starts_with("198.51.100.0/24 is being withdrawn"), "{said}");
        let is_withdrawn = |lab: &Lab| lab.daemon.announcer().is_withdrawn();
        lab.until(is_withdrawn);
        let told = lab.daemon.announcement(&lab.moment(), &prefix).expect("it is there");
        assert!(told.drained && told.can_serve, "{told:?}");
        assert_eq!(told.reason_kind, "drained");
        lab.daemon.resume(&at, Some(prefix)).expect("it can be");
        lab.daemon.drain(&at, None).expect("it can be");
        lab.turn();
        assert!(is_withdrawn(&lab));
        lab.daemon.request_stop();
        lab.until(|lab| lab.daemon.step() != crate::announce::drain::Step::Serving);
        let refused = lab.daemon.resume(&lab.moment(), None);
        assert_eq!(refused, Err(Refusal::Conflict("a stop is under way".into())));
    }

    #[test]
    fn the_settings_in_force_are_told_without_secrets() {
        let lab = Lab::new("bgp.announce.holdup = 7s\nui.username = a\nui.password = sesame\n");
        let told = lab.daemon.config();
        let hold_up = told.iter().find(|it| it.key == "bgp.announce.holdup").expect("it is set");
        assert_eq!(hold_up.value, Value::Duration(Duration::from_secs(7)));
        assert!(!format!("{told:?}").contains("sesame"));
    }
}
