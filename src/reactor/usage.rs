//! What this process uses of the machine, for its metrics.
#![allow(unsafe_code)]

use std::fs;
use std::time::Duration;

use super::clock::thread_cpu;

/// What the process uses. What the system does not tell is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on a CPU: that of the one thread.
    pub cpu: Duration,
    /// Octets in memory.
    pub resident: Option<u64>,
    /// Descriptors that are open; Linux tells without counting since 6.2.
    pub descriptors: Option<u64>,
}

impl Usage {
    /// Asks the system: some microseconds, without waiting.
    pub fn now() -> Usage {
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: Option<u64> = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
        let descriptors = fs::metadata("/proc/self/fd").map_or(0, |data| data.len());
        Usage {
            cpu: thread_cpu(),
            resident: pages.and_then(|pages| pages.checked_mul(page_size()?)),
            descriptors: (descriptors > 0).then_some(descriptors),
        }
    }
}

fn page_size() -> Option<u64> {
    // SAFETY: sysconf takes no pointer.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_that_of_this_process() {
        let before = Usage::now();
        assert!(before.resident.unwrap() > 1 << 20);
        let counted = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        if let Some(descriptors) = before.descriptors {
            // Other tests open and close some meanwhile.
            assert!(descriptors > 2 && descriptors < counted + 1000, "{descriptors}, {counted}");
        }
        while Usage::now().cpu < before.cpu + Duration::from_millis(2) {}
    }
}
