//! The anycast addresses on the host: added before they are announced, and
//! removed after they are withdrawn.
//!
//! An address that was there before us belongs to somebody else and is left
//! alone. Which ones are ours is therefore kept in a small record that outlives
//! the process: one that we added and could not remove, because we were killed,
//! is still ours in the next life. The record is written after an address was
//! added, so that in doubt it is left, and never taken from its owner.
//!
//! An address that cannot be added holds no announcement back: it may be served
//! without being on an interface (by `freebind` and a local route). It is an
//! error in the log, and part of the answer to whoever asks why.

mod door;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::reactor::Time;

pub use door::{Door, problem_on_host};

/// Time between two attempts at what could not be done, such as an address for
/// an interface that is yet to come.
const RETRY: Duration = Duration::from_secs(10);

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put it on the interface, unless it is there.
    Add(IpAddr),
    /// Take it from the interface.
    Remove(IpAddr),
}

/// What came of an [`Action`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// It changed something: the address was not there before an
    /// [`Action::Add`].
    pub changed: bool,
    /// Why it did not do what it was for, in words. It is then tried again.
    pub problem: Option<String>,
}

/// One address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Address {
    /// We added it, in this life or in a former one.
    ours: bool,
    /// It is announced, or about to be.
    wanted: bool,
    /// When something is to be done: to add it if it is wanted, to remove it
    /// otherwise.
    due: Option<Time>,
    problem: Option<String>,
}

/// Which addresses are to be on the host, and what has to be done for that:
/// see the module's page. Whoever executes [`Vip::next`] says so by
/// [`Vip::done`].
#[derive(Clone, Debug, Default)]
pub struct Vip {
    addresses: BTreeMap<IpAddr, Address>,
}

impl Vip {
    /// Nothing is wanted yet. `restored` are the addresses that a former life
    /// added and did not remove; those that are not wanted until `at` are
    /// removed then.
    pub fn new(restored: impl IntoIterator<Item = IpAddr>, at: Time) -> Vip {
        let left = Address { ours: true, due: Some(at), ..Address::default() };
        let addresses = restored.into_iter().map(|address| (address, left.clone())).collect();
        Vip { addresses }
    }

    /// The address is about to be announced: it is to be on the host from now
    /// on. Said again, it changes nothing.
    pub fn want(&mut self, now: Time, address: IpAddr) {
        let entry = self.addresses.entry(address).or_default();
        if !entry.wanted {
            entry.wanted = true;
            entry.due = Some(now);
        }
    }

    /// The address is announced no longer: if it is ours it goes, but not
    /// before `at`, when nobody sends to it any more; see also [`Vip::spare`].
    /// Said again, it changes nothing.
    pub fn release(&mut self, address: IpAddr, at: Time) {
        let Some(entry) = self.addresses.get_mut(&address) else { return };
        if !entry.wanted {
            return;
        }
        entry.wanted = false;
        entry.due = Some(at);
        if !entry.ours {
            self.addresses.remove(&address);
        }
    }

    /// Puts off to remove those whose time has come and that are `used`: to lose
    /// its address ends a connection.
    pub fn spare(&mut self, now: Time, used: impl Fn(IpAddr) -> bool) {
        for (address, entry) in &mut self.addresses {
            if !entry.wanted && entry.due.is_some_and(|at| at <= now) && used(*address) {
                entry.due = Some(now + RETRY);
            }
        }
    }

    /// All that are ours go now.
    pub fn remove_all(&mut self) {
        self.addresses.retain(|_, entry| entry.ours);
        for entry in self.addresses.values_mut() {
            entry.wanted = false;
            entry.due = Some(Time::ZERO);
        }
    }

    /// The next thing to do at `now`.
    pub fn next(&self, now: Time) -> Option<Action> {
        let is_due = |entry: &Address| entry.due.is_some_and(|at| at <= now);
        let (address, entry) = self.addresses.iter().find(|(_, entry)| is_due(entry))?;
        Some(match entry.wanted {
            true => Action::Add(*address),
            false => Action::Remove(*address),
        })
    }

    /// An action was tried. Returns whether what came of it is news: an attempt
    /// that fails as the one before is none.
    pub fn done(&mut self, now: Time, action: Action, outcome: Outcome) -> bool {
        let (Action::Add(address) | Action::Remove(address)) = action;
        let Some(entry) = self.addresses.get_mut(&address) else { return false };
        let is_news = outcome.problem.is_none() || entry.problem != outcome.problem;
        entry.due = outcome.problem.is_some().then_some(now + RETRY);
        entry.problem = outcome.problem;
        match action {
            Action::Add(_) => entry.ours |= outcome.changed,
            Action::Remove(_) if entry.problem.is_none() => {
                self.addresses.remove(&address);
            }
            Action::Remove(_) => {}
        }
        is_news
    }

    /// When [`Vip::next`] has something to do.
    pub fn deadline(&self) -> Option<Time> {
        self.addresses.values().filter_map(|entry| entry.due).min()
    }

    /// The addresses that we added and have not removed, in ascending order:
    /// what the next life has to know.
    pub fn ours(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().filter(|(_, entry)| entry.ours).map(|(address, _)| *address)
    }

    /// Whether we added it.
    pub fn is_ours(&self, address: IpAddr) -> bool {
        self.addresses.get(&address).is_some_and(|entry| entry.ours)
    }

    /// Why an address is not as it should be, if it is not.
    pub fn problem(&self, address: IpAddr) -> Option<&str> {
        self.addresses.get(&address)?.problem.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    /// A host that does as it is told.
    #[derive(Default)]
    struct Host {
        addresses: BTreeSet<IpAddr>,
        refuses: bool,
        told: Vec<Action>,
    }

    impl Host {
        fn with(address: &str) -> Host {
            Host { addresses: [ip(address)].into(), ..Host::default() }
        }

        /// Executes all that is due, and says what it was told.
        fn serve(&mut self, vip: &mut Vip, now: Time) -> Vec<Action> {
            while let Some(action) = vip.next(now) {
                self.told.push(action);
                let problem = self.refuses.then(|| "no".to_owned());
                let changed = problem.is_none()
                    && match action {
                        Action::Add(address) => self.addresses.insert(address),
                        Action::Remove(address) => self.addresses.remove(&address),
                    };
                vip.done(now, action, Outcome { changed, problem });
            }
            std::mem::take(&mut self.told)
        }
    }

    const ONE: &str = "192.0.2.10";
    const TWO: &str = "2001:db8::10";

    #[test]
    fn an_address_comes_before_and_goes_a_while_after() {
        let (mut vip, mut host) = (Vip::default(), Host::default());
        vip.want(at(1), ip(ONE));
        assert_eq!(host.serve(&mut vip, at(1)), [Action::Add(ip(ONE))]);
        vip.want(at(2), ip(ONE));
        assert_eq!(host.serve(&mut vip, at(2)), []);
        assert!(vip.is_ours(ip(ONE)) && vip.ours().eq([ip(ONE)]));
        vip.release(ip(ONE), at(30));
        vip.release(ip(ONE), at(90));
        assert_eq!(vip.deadline(), Some(at(30)), "what was said first counts");
        assert_eq!(host.serve(&mut vip, at(29)), []);
        assert_eq!(host.serve(&mut vip, at(30)), [Action::Remove(ip(ONE))]);
        assert!(host.addresses.is_empty() && vip.ours().next().is_none());
        vip.release(ip(ONE), at(91));
        assert_eq!((vip.next(at(99)), vip.deadline()), (None, None));
    }

    #[test]
    fn who_is_announced_again_in_time_stays() {
        let (mut vip, mut host) = (Vip::default(), Host::default());
        vip.want(at(1), ip(ONE));
        host.serve(&mut vip, at(1));
        vip.release(ip(ONE), at(30));
        vip.want(at(20), ip(ONE));
        // It is looked at again, in case somebody took it away meanwhile.
        assert_eq!(host.serve(&mut vip, at(30)), [Action::Add(ip(ONE))]);
        assert!(vip.is_ours(ip(ONE)), "it was there, because of us");
        assert_eq!(vip.deadline(), None);
    }

    #[test]
    fn what_was_there_is_left_alone() {
        let (mut vip, mut host) = (Vip::default(), Host::with(ONE));
        vip.want(at(1), ip(ONE));
        vip.want(at(1), ip(TWO));
        host.serve(&mut vip, at(1));
        assert!(vip.ours().eq([ip(TWO)]));
        vip.release(ip(ONE), at(2));
        vip.remove_all();
        assert_eq!(host.serve(&mut vip, at(2)), [Action::Remove(ip(TWO))]);
        assert_eq!(host.addresses, [ip(ONE)].into());
    }

    #[test]
    fn all_that_is_ours_goes_at_the_end_whatever_it_waits_for() {
        let (mut vip, mut host) = (Vip::new([ip("192.0.2.9")], at(60)), Host::default());
        for address in [ONE, TWO] {
            vip.want(at(1), ip(address));
        }
        host.serve(&mut vip, at(1));
        vip.release(ip(ONE), at(500));
        vip.want(at(2), ip("192.0.2.11"));
        vip.remove_all();
        let removed = ["192.0.2.9", ONE, TWO].map(|address| Action::Remove(ip(address)));
        assert_eq!(host.serve(&mut vip, at(2)), removed);
        assert_eq!((vip.ours().count(), vip.deadline()), (0, None));
    }

    #[test]
    fn what_a_former_life_added_is_still_ours() {
        // It was killed: both are still there, and only one is wanted again.
        let mut host = Host::with(ONE);
        host.addresses.insert(ip(TWO));
        let mut vip = Vip::new([ip(ONE), ip(TWO)], at(60));
        vip.want(at(2), ip(ONE));
        assert_eq!(host.serve(&mut vip, at(59)), [Action::Add(ip(ONE))]);
        assert!(vip.ours().eq([ip(ONE), ip(TWO)]));
        assert_eq!(host.serve(&mut vip, at(60)), [Action::Remove(ip(TWO))]);
        vip.remove_all();
        assert_eq!(host.serve(&mut vip, at(61)), [Action::Remove(ip(ONE))]);
    }

    #[test]
    fn what_fails_is_a_problem_that_is_told_once_and_tried_again() {
        let (mut vip, mut host) = (Vip::default(), Host { refuses: true, ..Host::default() });
        vip.want(at(1), ip(ONE));
        host.serve(&mut vip, at(1));
        assert_eq!(vip.problem(ip(ONE)), Some("no"));
        assert!(!vip.is_ours(ip(ONE)));
        assert_eq!(vip.deadline(), Some(at(11)));
        let again = Outcome { changed: false, problem: Some("no".to_owned()) };
        let add = Action::Add(ip(ONE));
        assert!(!vip.done(at(11), add, again));
        assert!(vip.done(at(21), add, Outcome { changed: true, problem: Some("down".to_owned()) }));
        assert!(vip.is_ours(ip(ONE)), "added, though it is of no use yet");
        host = Host::with(ONE);
        assert_eq!(host.serve(&mut vip, at(31)), [add]);
        assert_eq!((vip.problem(ip(ONE)), vip.deadline()), (None, None));
        host.refuses = true;
        vip.remove_all();
        host.serve(&mut vip, at(40));
        assert!(vip.is_ours(ip(ONE)), "it was not removed");
        host.refuses = false;
        assert_eq!(host.serve(&mut vip, at(50)), [Action::Remove(ip(ONE))]);
        assert_eq!(vip.problem(ip(ONE)), None);
    }

    #[test]
    fn who_is_released_before_it_could_be_added_is_forgotten() {
        let (mut vip, mut host) = (Vip::default(), Host { refuses: true, ..Host::default() });
        vip.want(at(1), ip(ONE));
        host.serve(&mut vip, at(1));
        vip.release(ip(ONE), at(2));
        assert_eq!((vip.next(at(99)), vip.problem(ip(ONE))), (None, None));
        let late = Outcome { changed: true, problem: None };
        assert!(!vip.done(at(3), Action::Add(ip(ONE)), late), "nobody waits for it");
    }

    #[test]
    fn an_address_in_use_is_not_removed_until_it_is_free() {
        let (used, free) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let mut vip = Vip::new([used, free], at(1));
        vip.spare(at(0), |_| true);
        assert_eq!(vip.deadline(), Some(at(1)), "its time has not come");
        vip.spare(at(1), |it| it == used);
        assert_eq!(vip.next(at(1)), Some(Action::Remove(free)));
        vip.done(at(1), Action::Remove(free), Outcome { changed: true, problem: None });
        assert_eq!((vip.next(at(1)), vip.deadline()), (None, Some(at(1) + RETRY)));
        vip.spare(at(1) + RETRY, |_| false);
        assert_eq!(vip.next(at(1) + RETRY), Some(Action::Remove(used)));
        vip.want(at(2), used);
        vip.spare(at(2), |_| true);
        assert_eq!(vip.next(at(2)), Some(Action::Add(used)), "what is wanted is not put off");
        vip.remove_all();
        assert_eq!(vip.next(at(2)), Some(Action::Remove(used)), "nor the end");
    }
}
