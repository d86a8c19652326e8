//! The health of one target: results of checks in, changes of state out.

use std::fmt;

use crate::reactor::Time;

/// Most bytes of an error's text that are kept.
const LONGEST_ERROR: usize = 200;

/// What is known of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not checked yet.
    Unknown,
    /// Fit to serve.
    Healthy,
    /// Not fit to serve.
    Unhealthy,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Unknown => "unknown",
            State::Healthy => "healthy",
            State::Unhealthy => "unhealthy",
        })
    }
}

/// A change of state. The two are never the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
}

/// How many results in a row change the state; 0 counts as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// `health.rise` and `rise=`: successes that make an unhealthy target
    /// healthy.
    pub rise: u32,
    /// `health.fall` and `fall=`: failures that make a healthy target
    /// unhealthy.
    pub fall: u32,
}

impl Default for Thresholds {
    /// Those of the configuration.
    fn default() -> Thresholds {
        Thresholds { rise: 2, fall: 2 }
    }
}

/// Judges one target.
///
/// The first result of a check decides at once, so that a start does not take
/// longer than it must. From then on `fall` failures in a row make a healthy
/// target unhealthy, and `rise` successes in a row the other way round.
#[derive(Clone, Debug)]
pub struct Machine {
    state: State,
    since: Time,
    /// Results in a row that speak against the state.
    against: u32,
    last_error: Option<(Time, String)>,
}

impl Machine {
    /// A target that is unknown since `now`.
    pub fn new(now: Time) -> Machine {
        Machine { state: State::Unknown, since: now, against: 0, last_error: None }
    }

    /// Takes the result of a check: success, or why it failed.
    pub fn record(
        &mut self,
        now: Time,
        thresholds: Thresholds,
        outcome: Result<(), String>,
    ) -> Option<Change> {
        let (verdict, needed) = match outcome {
            Ok(()) => (State::Healthy, thresholds.rise),
            Err(error) => {
                self.note_error(now, error);
                (State::Unhealthy, thresholds.fall)
            }
        };
        if verdict == self.state {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        if self.state != State::Unknown && self.against < needed {
            return None;
        }
        self.enter(now, verdict)
    }

    /// The target is not checked: it counts as healthy.
    pub fn trust(&mut self, now: Time) -> Option<Change> {
        self.against = 0;
        if self.state == State::Healthy { None } else { self.enter(now, State::Healthy) }
    }

    /// Something shows that a healthy target is there: a row of failures is
    /// interrupted. It makes no target healthy, which is for the check.
    pub fn interrupt(&mut self) {
        if self.state == State::Healthy {
            self.against = 0;
        }
    }

    /// Remembers an error that is no result of a check.
    pub fn note_error(&mut self, now: Time, error: String) {
        self.last_error = Some((now, shortened(error)));
    }

    /// Whether the latest results speak against the state.
    pub fn is_contradicted(&self) -> bool {
        self.against > 0
    }

    fn enter(&mut self, now: Time, state: State) -> Option<Change> {
        let from = std::mem::replace(&mut self.state, state);
        self.since = now;
        self.against = 0;
        Some(Change { from, to: state })
    }

    /// What is known of the target.
    pub fn state(&self) -> State {
        self.state
    }

    /// Since when that is so.
    pub fn since(&self) -> Time {
        self.since
    }

    /// When a check or a dial last failed, and why. It stays when the target
    /// gets healthy.
    pub fn last_error(&self) -> Option<(Time, &str)> {
        self.last_error.as_ref().map(|(at, text)| (*at, text.as_str()))
    }
}

fn shortened(mut error: String) -> String {
    error.truncate(error.floor_char_boundary(LONGEST_ERROR));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Result<(), String> = Ok(());

    fn failed() -> Result<(), String> {
        Err("connection refused".to_owned())
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn change(from: State, to: State) -> Option<Change> {
        Some(Change { from, to })
    }

    fn by(rise: u32, fall: u32) -> Thresholds {
        Thresholds { rise, fall }
    }

    #[test]
    fn the_first_result_decides_at_once() {
        let mut machine = Machine::new(at(1));
        assert_eq!((machine.state(), machine.since()), (State::Unknown, at(1)));
        assert_eq!(machine.record(at(2), by(3, 3), OK), change(State::Unknown, State::Healthy));
        assert_eq!((machine.state(), machine.since()), (State::Healthy, at(2)));
        let mut machine = Machine::new(at(1));
        let fallen = machine.record(at(2), by(3, 3), failed());
        assert_eq!(fallen, change(State::Unknown, State::Unhealthy));
        assert_eq!(machine.last_error(), Some((at(2), "connection refused")));
        assert!(!machine.is_contradicted());
    }

    #[test]
    fn it_takes_fall_failures_in_a_row_to_fall() {
        let (mut machine, by) = (Machine::new(at(0)), by(1, 3));
        machine.record(at(0), by, OK);
        for second in [1, 2, 4, 5] {
            assert_eq!(machine.record(at(second), by, failed()), None);
            assert!(machine.is_contradicted());
            if second == 2 {
                assert_eq!(machine.record(at(3), by, OK), None);
                assert!(!machine.is_contradicted());
            }
        }
        assert_eq!(machine.since(), at(0));
        let fallen = machine.record(at(6), by, failed());
        assert_eq!(fallen, change(State::Healthy, State::Unhealthy));
        assert_eq!((machine.since(), machine.is_contradicted()), (at(6), false));
    }

    #[test]
    fn it_takes_rise_successes_in_a_row_to_rise() {
        let (mut machine, by) = (Machine::new(at(0)), by(2, 1));
        machine.record(at(0), by, failed());
        assert_eq!(machine.record(at(1), by, OK), None);
        assert_eq!(machine.record(at(2), by, failed()), None);
        assert_eq!(machine.record(at(3), by, OK), None);
        assert_eq!(machine.record(at(4), by, OK), change(State::Unhealthy, State::Healthy));
        let fallen = machine.record(at(5), by, failed());
        assert_eq!(fallen, change(State::Healthy, State::Unhealthy));
    }

    #[test]
    fn thresholds_of_zero_count_as_one() {
        let (mut machine, by) = (Machine::new(at(0)), by(0, 0));
        machine.record(at(0), by, OK);
        let fallen = machine.record(at(1), by, failed());
        assert_eq!(fallen, change(State::Healthy, State::Unhealthy));
        assert_eq!(machine.record(at(2), by, OK), change(State::Unhealthy, State::Healthy));
    }

    #[test]
    fn other_thresholds_hold_from_the_next_result_on() {
        let mut machine = Machine::new(at(0));
        machine.record(at(0), by(1, 9), OK);
        (1..5).for_each(|second| assert_eq!(machine.record(at(second), by(1, 9), failed()), None));
        let fallen = machine.record(at(5), by(1, 2), failed());
        assert_eq!(fallen, change(State::Healthy, State::Unhealthy));
    }

    #[test]
    fn who_is_not_checked_is_healthy_and_stays_so_until_a_check_says_otherwise() {
        let mut machine = Machine::new(at(0));
        assert_eq!(machine.trust(at(1)), change(State::Unknown, State::Healthy));
        assert_eq!(machine.trust(at(2)), None);
        assert_eq!(machine.since(), at(1));
        machine.record(at(3), by(1, 2), failed());
        assert_eq!(machine.trust(at(4)), None);
        assert!(!machine.is_contradicted());
        machine.record(at(5), by(1, 1), failed());
        assert_eq!(machine.trust(at(6)), change(State::Unhealthy, State::Healthy));
    }

    #[test]
    fn an_interruption_ends_a_row_of_failures_but_makes_nothing_healthy() {
        let (mut machine, by) = (Machine::new(at(0)), by(2, 2));
        machine.interrupt();
        assert_eq!(machine.state(), State::Unknown);
        machine.record(at(0), by, OK);
        machine.record(at(1), by, failed());
        machine.interrupt();
        assert_eq!(machine.record(at(2), by, failed()), None);
        let fallen = machine.record(at(3), by, failed());
        assert_eq!(fallen, change(State::Healthy, State::Unhealthy));
        machine.record(at(4), by, OK);
        machine.interrupt();
        assert_eq!(machine.state(), State::Unhealthy);
        assert_eq!(machine.record(at(5), by, OK), change(State::Unhealthy, State::Healthy));
    }

    #[test]
    fn long_errors_are_cut_between_characters() {
        let mut machine = Machine::new(at(0));
        machine.note_error(at(0), format!("a{}", "é".repeat(1_000)));
        let (_, text) = machine.last_error().unwrap();
        assert_eq!(text.len(), LONGEST_ERROR - 1);
        assert_eq!(machine.state(), State::Unknown);
    }
}
