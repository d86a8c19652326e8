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

/// Judges one target.
///
/// The first result of a check decides at once, so that a start does not take
/// longer than it must. From then on `health.fall` failures in a row make a
/// healthy target unhealthy, and `health.rise` successes in a row the other
/// way round.
///
/// Connections that are dialled for clients count too, but not alike. A dial
/// that failed is a failed check: whatever the checks say, clients are not
/// served. A dial that succeeded interrupts a row of failures, since a target
/// that accepts most connections under load is not down; but it makes no
/// target healthy, because that is for the check, which may ask for more than
/// an accepted connection.
#[derive(Clone, Debug)]
pub struct Machine {
    rise: u32,
    fall: u32,
    state: State,
    since: Time,
    /// Results in a row that speak against the state.
    against: u32,
    last_error: Option<(Time, String)>,
}

impl Machine {
    /// A target that is unknown since `now`. `rise` and `fall` of 0 count as 1.
    pub fn new(now: Time, rise: u32, fall: u32) -> Machine {
        Machine {
            rise: rise.max(1),
            fall: fall.max(1),
            state: State::Unknown,
            since: now,
            against: 0,
            last_error: None,
        }
    }

    /// Judges by other numbers from the next result on; 0 counts as 1.
    pub fn change(&mut self, rise: u32, fall: u32) {
        (self.rise, self.fall) = (rise.max(1), fall.max(1));
    }

    /// Takes the result of a check: success, or why it failed.
    pub fn record(&mut self, now: Time, outcome: Result<(), String>) -> Option<Change> {
        let (verdict, needed) = match outcome {
            Ok(()) => (State::Healthy, self.rise),
            Err(error) => {
                self.last_error = Some((now, shortened(error)));
                (State::Unhealthy, self.fall)
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
        let from = std::mem::replace(&mut self.state, verdict);
        self.since = now;
        self.against = 0;
        Some(Change { from, to: verdict })
    }

    /// A client's connection to the target could not be made: counts as a
    /// failed check.
    pub fn dial_failed(&mut self, now: Time, error: String) -> Option<Change> {
        self.record(now, Err(error))
    }

    /// A client's connection to the target was made: interrupts a healthy
    /// target's row of failures, and changes no state.
    pub fn dial_succeeded(&mut self) {
        if self.state == State::Healthy {
            self.against = 0;
        }
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

    #[test]
    fn the_first_result_decides_at_once() {
        let mut machine = Machine::new(at(1), 3, 3);
        assert_eq!((machine.state(), machine.since()), (State::Unknown, at(1)));
        assert_eq!(machine.record(at(2), OK), change(State::Unknown, State::Healthy));
        assert_eq!((machine.state(), machine.since()), (State::Healthy, at(2)));
        let mut machine = Machine::new(at(1), 3, 3);
        assert_eq!(machine.record(at(2), failed()), change(State::Unknown, State::Unhealthy));
        assert_eq!(machine.last_error(), Some((at(2), "connection refused")));
    }

    #[test]
    fn it_takes_fall_failures_in_a_row_to_fall() {
        let mut machine = Machine::new(at(0), 1, 3);
        machine.record(at(0), OK);
        for second in [1, 2, 4, 5] {
            assert_eq!(machine.record(at(second), failed()), None);
            if second == 2 {
                assert_eq!(machine.record(at(3), OK), None);
            }
        }
        assert_eq!(machine.since(), at(0));
        assert_eq!(machine.record(at(6), failed()), change(State::Healthy, State::Unhealthy));
        assert_eq!(machine.since(), at(6));
    }

    #[test]
    fn it_takes_rise_successes_in_a_row_to_rise() {
        let mut machine = Machine::new(at(0), 2, 1);
        machine.record(at(0), failed());
        assert_eq!(machine.record(at(1), OK), None);
        assert_eq!(machine.record(at(2), failed()), None);
        assert_eq!(machine.record(at(3), OK), None);
        assert_eq!(machine.record(at(4), OK), change(State::Unhealthy, State::Healthy));
        assert_eq!(machine.record(at(5), failed()), change(State::Healthy, State::Unhealthy));
    }

    #[test]
    fn thresholds_of_zero_count_as_one() {
        let mut machine = Machine::new(at(0), 0, 0);
        machine.record(at(0), OK);
        assert_eq!(machine.record(at(1), failed()), change(State::Healthy, State::Unhealthy));
        assert_eq!(machine.record(at(2), OK), change(State::Unhealthy, State::Healthy));
    }

    #[test]
    fn failed_dials_count_with_failed_checks() {
        let mut machine = Machine::new(at(0), 1, 3);
        machine.record(at(0), OK);
        assert_eq!(machine.dial_failed(at(1), "timed out".to_owned()), None);
        assert_eq!(machine.record(at(2), failed()), None);
        let fallen = machine.dial_failed(at(3), "timed out".to_owned());
        assert_eq!(fallen, change(State::Healthy, State::Unhealthy));
        assert_eq!(machine.last_error(), Some((at(3), "timed out")));
    }

    #[test]
    fn a_dial_that_succeeds_interrupts_failures_but_makes_nothing_healthy() {
        let mut machine = Machine::new(at(0), 2, 2);
        machine.dial_succeeded();
        assert_eq!(machine.state(), State::Unknown);
        machine.record(at(0), OK);
        machine.dial_failed(at(1), String::new());
        machine.dial_succeeded();
        assert_eq!(machine.dial_failed(at(2), String::new()), None);
        assert_eq!(machine.record(at(3), failed()), change(State::Healthy, State::Unhealthy));
        machine.record(at(4), OK);
        machine.dial_succeeded();
        assert_eq!(machine.state(), State::Unhealthy);
        assert_eq!(machine.record(at(5), OK), change(State::Unhealthy, State::Healthy));
    }

    #[test]
    fn long_errors_are_cut_between_characters() {
        let mut machine = Machine::new(at(0), 1, 1);
        machine.record(at(0), Err(format!("a{}", "é".repeat(1_000))));
        let (_, text) = machine.last_error().unwrap();
        assert_eq!(text.len(), LONGEST_ERROR - 1);
    }
}
