//! Ejection: a target to which clients' connections fail is left alone for a
//! while, whatever its checks say.
//!
//! A check asks once every few seconds, and may be answered by something else
//! than what serves. The dials of clients are the other witness, and under load
//! the much faster one. They say nothing lasting, though: who is not asked any
//! more cannot show that it is well. So an ejection has an end, the first dial
//! after it decides, and each further one lasts twice as long.

use std::time::Duration;

use crate::reactor::Time;

/// When targets are ejected, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// So many failed dials in a row eject; 0: none do.
    pub after: u32,
    /// How long the first ejection lasts.
    pub time: Duration,
    /// How long one lasts at most.
    pub max_time: Duration,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { after: 3, time: Duration::from_secs(10), max_time: Duration::from_secs(300) }
    }
}

impl Rules {
    /// How long the `n`th ejection lasts, from 1.
    fn length(&self, n: u32) -> Duration {
        let times = 1_u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX);
        self.time.saturating_mul(times).min(self.max_time)
    }
}

/// What is known of the dials of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ejection {
    /// Failed dials in a row.
    failures: u32,
    /// Ejections that are not forgotten, and how long the last of them was.
    times: u32,
    length: Duration,
    /// The end of the ejection that is under way.
    until: Option<Time>,
    /// Since when all dials after the last ejection have succeeded.
    well_since: Option<Time>,
}

impl Ejection {
    /// When the ejection ends that is under way, if one is. It does not end by
    /// itself: see [`Ejection::end`].
    pub fn until(&self) -> Option<Time> {
        self.until
    }

    /// Whether there is nothing to remember.
    pub fn is_blank(&self) -> bool {
        *self == Ejection::default()
    }

    /// A dial failed. Ejects the target when it was one too many and `may` says
    /// that it can be spared; returns until when. Dials that began before an
    /// ejection may fail during it, and count for nothing.
    pub fn failed(&mut self, now: Time, rules: &Rules, may: bool) -> Option<Time> {
        if self.until.is_some() || rules.after == 0 {
            return None;
        }
        self.forget(now);
        self.well_since = None;
        self.failures = self.failures.saturating_add(1);
        let needed = if self.times > 0 { 1 } else { rules.after };
        if self.failures < needed || !may {
            return None;
        }
        self.failures = 0;
        self.times = self.times.saturating_add(1);
        self.length = rules.length(self.times);
        self.until = Some(now + self.length);
        self.until
    }

    /// A dial succeeded. A target that serves well for as long as it was
    /// ejected begins anew.
    pub fn succeeded(&mut self, now: Time) {
        self.failures = 0;
        if self.times > 0 && self.until.is_none() {
            self.well_since.get_or_insert(now);
            self.forget(now);
        }
    }

    /// The ejection is over, and the next dial decides.
    pub fn end(&mut self) {
        self.until = None;
        self.well_since = None;
    }

    fn forget(&mut self, now: Time) {
        if self.well_since.is_some_and(|since| now.since(since) >= self.length) {
            *self = Ejection { failures: self.failures, ..Ejection::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn fail(ejection: &mut Ejection, seconds: u64) -> Option<u64> {
        let until = ejection.failed(at(seconds), &Rules::default(), true)?;
        Some(until.since(at(seconds)).as_secs())
    }

    /// One that was ejected at second 0, until second 10.
    fn ejected() -> Ejection {
        let mut ejection = Ejection::default();
        assert_eq!([0; 3].map(|second| fail(&mut ejection, second)), [None, None, Some(10)]);
        assert_eq!(ejection.until(), Some(at(10)));
        ejection
    }

    #[test]
    fn only_failures_in_a_row_eject() {
        let mut ejection = Ejection::default();
        for second in 0..10 {
            assert_eq!(fail(&mut ejection, second), None);
            assert_eq!(fail(&mut ejection, second), None);
            ejection.succeeded(at(second));
        }
        assert!(ejection.is_blank());
        assert!(!ejected().is_blank());
    }

    #[test]
    fn each_further_ejection_lasts_twice_as_long_up_to_a_limit() {
        let mut ejection = ejected();
        let mut second = 10;
        for length in [20, 40, 80, 160, 300, 300] {
            ejection.end();
            assert_eq!(ejection.until(), None);
            assert_eq!(fail(&mut ejection, second), Some(length), "one failure is enough");
            second += length;
        }
        ejection.times = u32::MAX;
        ejection.end();
        assert_eq!(fail(&mut ejection, second), Some(300));
    }

    #[test]
    fn who_serves_well_for_as_long_as_it_was_ejected_begins_anew() {
        let mut ejection = ejected();
        ejection.end();
        ejection.succeeded(at(15));
        ejection.succeeded(at(24));
        assert!(!ejection.is_blank());
        assert_eq!(fail(&mut ejection, 24), Some(20), "a second too early");
        ejection.end();
        ejection.succeeded(at(50));
        ejection.succeeded(at(70));
        assert!(ejection.is_blank());
        assert_eq!([71; 3].map(|second| fail(&mut ejection, second)), [None, None, Some(10)]);
    }

    #[test]
    fn the_time_is_over_although_nobody_dialled_at_its_end() {
        let mut ejection = ejected();
        ejection.end();
        ejection.succeeded(at(15));
        assert_eq!([25; 3].map(|second| fail(&mut ejection, second)), [None, None, Some(10)]);
    }

    #[test]
    fn to_be_left_alone_is_not_to_serve_well() {
        let mut ejection = ejected();
        ejection.end();
        assert_eq!(fail(&mut ejection, 1000), Some(20));
    }

    #[test]
    fn dials_that_end_during_an_ejection_change_nothing() {
        let mut ejection = ejected();
        assert_eq!([5; 9].map(|second| fail(&mut ejection, second)), [None; 9]);
        ejection.succeeded(at(6));
        assert_eq!(ejection.until(), Some(at(10)));
        ejection.end();
        assert_eq!(fail(&mut ejection, 30), Some(20));
    }

    #[test]
    fn who_cannot_be_spared_is_ejected_by_a_later_failure() {
        let (mut ejection, rules) = (Ejection::default(), Rules::default());
        for second in 0..9 {
            assert_eq!(ejection.failed(at(second), &rules, false), None);
        }
        assert_eq!(fail(&mut ejection, 9), Some(10));
    }

    #[test]
    fn without_a_number_nobody_is_ejected() {
        let rules = Rules { after: 0, ..Rules::default() };
        let mut ejection = Ejection::default();
        assert_eq!([0; 99].map(|_| ejection.failed(at(0), &rules, true)), [None; 99]);
        assert!(ejection.is_blank());
    }
}
