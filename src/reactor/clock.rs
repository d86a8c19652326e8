//! The clock: the only file that reads it, once a turn of the loop.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::Add;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment on the monotonic clock: nanoseconds since the process's [`Clock`]
/// was made. Pure code gets it as an argument and never asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The moment at which the clock was made.
    pub const ZERO: Time = Time(0);

    /// The moment `nanos` nanoseconds after [`Time::ZERO`].
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// The moment `millis` milliseconds after [`Time::ZERO`]; saturates.
    pub const fn from_millis(millis: u64) -> Time {
        Time(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since [`Time::ZERO`].
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since [`Time::ZERO`], rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long ago `earlier` was; zero if it is not earlier.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// The moment `rhs` later; saturates at the end of the clock (584 years).
    fn add(self, rhs: Duration) -> Time {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanos))
    }
}

/// The source of [`Time`], and of the wall clock that log lines carry.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    wall_origin: Duration,
}

impl Clock {
    /// A clock whose [`Time::ZERO`] is now.
    pub fn new() -> Clock {
        let wall_origin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { origin: Instant::now(), wall_origin }
    }

    /// Reads the monotonic clock.
    pub fn now(&self) -> Time {
        Time(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Reads the wall clock: time since the Unix epoch, UTC.
    pub fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(self.wall_origin)
    }
}

/// Reads how long this thread has been on a CPU (CLOCK_THREAD_CPUTIME_ID).
/// Unlike the other clocks it costs a system call. Zero, if the system has no
/// such clock.
pub fn thread_cpu() -> Duration {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Reads the system's monotonic clock (CLOCK_MONOTONIC), for other processes of
/// this host, who do not know our [`Time::ZERO`].
pub fn monotonic() -> Duration {
    read(libc::CLOCK_MONOTONIC)
}

fn read(clock: libc::clockid_t) -> Duration {
    let mut found = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: clock_gettime writes a timespec to where the pointer says, or
    // nothing; all zeros are a timespec as well.
    let found = unsafe {
        libc::clock_gettime(clock, found.as_mut_ptr());
        found.assume_init()
    };
    let nanos = u32::try_from(found.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(found.tv_sec).unwrap_or_default(), nanos)
}

/// Waits. Only for commands that have nothing else to do: a loop has timers.
pub fn sleep(time: Duration) {
    std::thread::sleep(time);
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_clock_runs_as_ours_does() {
        let (start, before) = (Instant::now(), monotonic());
        std::thread::sleep(Duration::from_millis(20));
        let passed = monotonic() - before;
        assert!(passed >= Duration::from_millis(20) && passed <= start.elapsed(), "{passed:?}");
        assert!(before > Duration::ZERO);
    }

    #[test]
    fn the_thread_s_clock_runs_while_it_works_and_stands_while_it_sleeps() {
        let (start, worked) = (Instant::now(), thread_cpu());
        while thread_cpu() - worked < Duration::from_millis(2) {}
        assert!(start.elapsed() >= Duration::from_millis(2), "no more than really passed");
        let (asleep, before) = (Instant::now(), thread_cpu());
        std::thread::sleep(Duration::from_millis(50));
        assert!(thread_cpu() - before < asleep.elapsed());
    }
}
