//! The timers of one session: a small table, of which the outside sees only
//! the earliest deadline.

use std::time::Duration;

use crate::reactor::Time;
use crate::reactor::random::Random;

/// The timers of RFC 4271 §8 that we run, and SendHold of RFC 9687.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Time to try the connection again (RFC 4271 §8.1.3, event 9).
    ConnectRetry,
    /// Nothing heard for the hold time (event 10). Exact.
    Hold,
    /// Nothing could be sent for the send hold time (RFC 9687). Exact.
    SendHold,
    /// Time for a KEEPALIVE (event 11).
    Keepalive,
    /// End of the wait in Idle (event 13).
    IdleHold,
}

const COUNT: usize = 5;
const ALL: [Timer; COUNT] =
    [Timer::ConnectRetry, Timer::Hold, Timer::SendHold, Timer::Keepalive, Timer::IdleHold];

/// When each timer fires, if it runs.
#[derive(Clone, Debug, Default)]
pub struct Timers([Option<Time>; COUNT]);

impl Timers {
    fn slot(&mut self, timer: Timer) -> Option<&mut Option<Time>> {
        self.0.get_mut(timer as usize)
    }

    /// Starts or restarts `timer`.
    pub fn set(&mut self, timer: Timer, at: Time) {
        if let Some(slot) = self.slot(timer) {
            *slot = Some(at);
        }
    }

    /// Stops `timer`.
    pub fn stop(&mut self, timer: Timer) {
        if let Some(slot) = self.slot(timer) {
            *slot = None;
        }
    }

    /// Stops all of them.
    pub fn stop_all(&mut self) {
        self.0 = [None; COUNT];
    }

    /// When `timer` fires, if it runs.
    pub fn get(&self, timer: Timer) -> Option<Time> {
        self.0.get(timer as usize).copied().flatten()
    }

    /// The earliest of all deadlines.
    pub fn deadline(&self) -> Option<Time> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes one timer that is due, the earliest first.
    pub fn take_due(&mut self, now: Time) -> Option<Timer> {
        let due = ALL
            .into_iter()
            .filter_map(|timer| self.get(timer).map(|at| (at, timer)))
            .filter(|&(at, _)| at <= now)
            .min_by_key(|&(at, _)| at)?;
        self.stop(due.1);
        Some(due.1)
    }
}

/// `duration` × 0.75 to 1.0, so that many speakers do not act as one (RFC 4271
/// §10).
pub fn jitter(duration: Duration, random: &mut Random) -> Duration {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let quarter = nanos / 4;
    Duration::from_nanos(nanos.saturating_sub(random.below(quarter)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_timers_come_out_in_order_and_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Hold, Time::from_millis(30));
        timers.set(Timer::Keepalive, Time::from_millis(10));
        timers.set(Timer::IdleHold, Time::from_millis(99));
        assert_eq!(timers.deadline(), Some(Time::from_millis(10)));
        let now = Time::from_millis(40);
        assert_eq!(timers.take_due(now), Some(Timer::Keepalive));
        assert_eq!(timers.take_due(now), Some(Timer::Hold));
        assert_eq!(timers.take_due(now), None);
        assert_eq!(timers.deadline(), Some(Time::from_millis(99)));
        timers.stop_all();
        assert_eq!(timers.deadline(), None);
    }

    #[test]
    fn jitter_takes_away_at_most_a_quarter() {
        let mut random = Random::new(3);
        let second = Duration::from_secs(1);
        let samples: Vec<_> = (0..1000).map(|_| jitter(second, &mut random)).collect();
        assert!(samples.iter().all(|&d| d > second * 3 / 4 && d <= second));
        let spread = samples.iter().max().zip(samples.iter().min());
        assert!(spread.is_some_and(|(max, min)| *max - *min > second / 5));
    }
}
