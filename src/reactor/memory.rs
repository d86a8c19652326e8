//! How the allocator treats large pieces, and how much memory there is of ours.
#![allow(unsafe_code)]

/// Pieces of this size, in octets, have a mapping of their own.
#[cfg(target_env = "gnu")]
const MAPPED: i32 = 1024 * 1024;

/// Octets of ours that are in memory (proc_pid_statm(5)); `None`: that cannot be
/// found out.
pub fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: sysconf takes and returns a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.checked_mul(u64::try_from(size).ok()?)
}

/// Lets large pieces of memory be mapped one by one, however many there were.
/// Such a piece grows without being copied, is zero without being written to,
/// and goes back to the kernel at once. The GNU C library begins like that, but
/// stops mapping a size once a piece of it was freed; then a list of some
/// megabytes that doubles takes longer than a turn of the loop may. Others
/// decide for themselves.
pub fn map_large_pieces() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes no pointer, and no other thread runs.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        // Small pieces that are freed are joined with their neighbours at once,
        // and not tens of thousands of them when the next large one is.
        libc::mallopt(libc::M_MXFAST, 0);
        // What it would be if the library had raised the threshold to that
        // itself (mallopt(3)).
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * MAPPED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages that are in memory, from /proc/self/statm.
    fn resident() -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn a_large_piece_is_in_memory_only_where_it_was_touched() {
        map_large_pieces();
        let size = 24 << 20;
        // What is freed raises the library's own threshold.
        drop(std::hint::black_box(vec![1_u8; size]));
        let before = resident();
        let zeros = std::hint::black_box(vec![0_u8; size]);
        assert!(resident() < before + (size >> 13), "half of its pages");
        drop(zeros);
    }
}
