//! Signals as events of the loop, and the process's limits.
#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry};

/// The signals that the program acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM
    Terminate,
    /// SIGINT
    Interrupt,
    /// SIGHUP
    Hangup,
}

impl Signal {
    fn from_number(number: i32) -> Option<Signal> {
        match number {
            libc::SIGTERM => Some(Signal::Terminate),
            libc::SIGINT => Some(Signal::Interrupt),
            libc::SIGHUP => Some(Signal::Hangup),
            _ => None,
        }
    }
}

/// A signalfd(2): an event source that becomes readable when a [`Signal`] is
/// pending.
#[derive(Debug)]
pub struct Signals {
    descriptor: OwnedFd,
}

impl Signals {
    /// Blocks the signals of [`Signal`] for this thread, which is the only
    /// one, so that they come out of the iterator, and ignores SIGPIPE and
    /// SIGXFSZ: a peer that went away and a log file at its size limit are
    /// errors of a write, not the end of us.
    pub fn new() -> io::Result<Signals> {
        let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set that the pointer names, and
        // sigaddset, pthread_sigmask and signalfd read that initialised set.
        let descriptor = unsafe {
            libc::sigemptyset(mask.as_mut_ptr());
            for number in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                libc::sigaddset(mask.as_mut_ptr(), number);
            }
            // pthread_sigmask returns its error instead of setting errno.
            match libc::pthread_sigmask(libc::SIG_BLOCK, mask.as_ptr(), std::ptr::null_mut()) {
                0 => {}
                error => return Err(io::Error::from_raw_os_error(error)),
            }
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            libc::signalfd(-1, mask.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC)
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd has just returned this descriptor, and nothing else
        // owns it.
        Ok(Signals { descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) } })
    }
}

impl Iterator for Signals {
    type Item = Signal;

    /// The next pending signal; `None` when there is none left.
    fn next(&mut self) -> Option<Signal> {
        loop {
            let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
            // SAFETY: read writes at most the size of the structure into it.
            let read = unsafe {
                libc::read(
                    self.descriptor.as_raw_fd(),
                    info.as_mut_ptr().cast(),
                    size_of::<libc::signalfd_siginfo>(),
                )
            };
            if usize::try_from(read) != Ok(size_of::<libc::signalfd_siginfo>()) {
                return None;
            }
            // SAFETY: the whole structure was read, and any bits are valid in
            // its integer fields.
            let number = unsafe { info.assume_init() }.ssi_signo;
            if let Some(signal) = i32::try_from(number).ok().and_then(Signal::from_number) {
                return Some(signal);
            }
        }
    }
}

impl Source for Signals {
    fn register(&mut self, registry: &Registry, token: mio::Token, i: Interest) -> io::Result<()> {
        SourceFd(&self.descriptor.as_raw_fd()).register(registry, token, i)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: mio::Token,
        i: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.descriptor.as_raw_fd()).reregister(registry, token, i)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.descriptor.as_raw_fd()).deregister(registry)
    }
}

/// Raises the soft limit of open descriptors (RLIMIT_NOFILE) to the hard one.
/// Returns the soft and the hard limit as they are afterwards.
pub fn raise_descriptor_limit() -> (u64, u64) {
    let limit = descriptor_limits();
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
    // SAFETY: setrlimit reads the structure, which lives for the call.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) };
    // A failure leaves what was; asking again tells which.
    let limit = descriptor_limits();
    (limit.rlim_cur, limit.rlim_max)
}

/// The soft limit of open descriptors: how many this process may have.
pub fn descriptor_limit() -> u64 {
    descriptor_limits().rlim_cur
}

/// How many descriptors are open (proc_pid_fd(5)); `None`: that cannot be found
/// out, as before Linux 6.2.
pub fn open_descriptors() -> Option<u64> {
    std::fs::metadata("/proc/self/fd").ok().map(|it| it.len()).filter(|count| *count > 0)
}

fn descriptor_limits() -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes into the structure, which lives for the call.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_not_delivered() {
        let mut signals = Signals::new().unwrap();
        assert_eq!(signals.next(), None);
        for number in [libc::SIGHUP, libc::SIGTERM, libc::SIGINT] {
            // SAFETY: raise sends a signal to this thread, which blocks it.
            assert_eq!(unsafe { libc::raise(number) }, 0);
        }
        let mut seen = [signals.next(), signals.next(), signals.next()].map(Option::unwrap);
        seen.sort_by_key(|signal| *signal as u8);
        assert_eq!(seen, [Signal::Terminate, Signal::Interrupt, Signal::Hangup]);
        assert_eq!(signals.next(), None);
    }

    #[test]
    fn the_descriptor_limit_is_the_hard_one_after_raising() {
        let (soft, hard) = raise_descriptor_limit();
        assert_eq!(soft, hard);
        assert_eq!(descriptor_limit(), soft);
        assert!(soft >= 64);
    }
}
