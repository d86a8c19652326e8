//! Pipes through which bytes pass from one socket to another inside the kernel,
//! by splice(2): neither copied nor seen.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Bytes that a pipe holds at most: as many as anybody may ask for, where
/// nobody changed `fs.pipe-max-size`. Each time that a pipe is filled costs an
/// acknowledgement and a wake-up at the source, so this size costs half of what
/// the usual 64 KiB do.
pub const PIPE_SIZE: usize = 1024 * 1024;

/// Bytes that a pipe has to hold to be worth it.
const LEAST_SIZE: usize = 64 * 1024;

/// How often a pipe is done without after one could not be had.
const PATIENCE: u32 = 1024;

/// A pipe, and how much is in it. Bytes that are in it are lost when it is
/// dropped.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    len: u32,
}

impl Pipe {
    /// Errors are those of pipe2(2), and OutOfMemory for a pipe that is too
    /// small. The system gives smaller ones to a user who has many of them
    /// (`fs.pipe-user-pages-soft`).
    fn new() -> io::Result<Pipe> {
        let mut ends = [-1; 2];
        // SAFETY: pipe2 writes two descriptors into the array.
        let result = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: both are open, and nobody else's.
        let [read, write] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        let wanted = libc::c_int::try_from(PIPE_SIZE).unwrap_or(libc::c_int::MAX);
        // SAFETY: both calls take and return a number.
        let size = unsafe {
            match libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, wanted) {
                -1 => libc::fcntl(write.as_raw_fd(), libc::F_GETPIPE_SZ),
                size => size,
            }
        };
        match usize::try_from(size) {
            Ok(LEAST_SIZE..) => Ok(Pipe { read, write, len: 0 }),
            _ => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }

    /// Moves at most `most` bytes from a stream's receive queue into the pipe,
    /// and returns how many. Fewer do not mean that the queue is empty. Ask only
    /// while the pipe is empty: else WouldBlock may mean that it is full.
    ///
    /// 0 means that the stream has ended, or that an urgent octet is next,
    /// which only recv(2) gets over: ask that.
    pub fn fill(&mut self, source: &impl AsFd, most: usize) -> io::Result<usize> {
        let count = splice(source, &self.write, most)?;
        self.len = self.len.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        Ok(count)
    }

    /// Moves bytes from the pipe into a stream's send queue, and returns how
    /// many. Fewer than there are mean that the queue is full.
    pub fn drain(&mut self, sink: &impl AsFd) -> io::Result<usize> {
        let count = splice(&self.read, sink, self.len())?;
        self.len = self.len.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
        Ok(count)
    }

    /// How many bytes are in it.
    pub fn len(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    /// Whether no byte is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// splice(2), which does not wait for the pipe nor, if it is non-blocking, for
/// the socket.
fn splice(from: &impl AsFd, to: &impl AsFd, most: usize) -> io::Result<usize> {
    let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    let (nowhere, flags) = (std::ptr::null_mut(), libc::SPLICE_F_NONBLOCK);
    // SAFETY: both are open, and there are no offsets to be written.
    let count = unsafe { libc::splice(from, nowhere, to, nowhere, most, flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Pipes up to a limit, made when they are needed, lent and given back. A
/// quarter of the limit is kept unused.
///
/// A pipe must come back through [`Pipes::give`]; one that is dropped instead
/// counts as lent for ever.
#[derive(Debug)]
pub struct Pipes {
    spare: Vec<Pipe>,
    lent: usize,
    limit: usize,
    /// How often to do without before trying again to make one.
    patience: u32,
}

impl Pipes {
    /// Lends at most `limit` pipes at a time; each has two descriptors.
    pub fn new(limit: usize) -> Pipes {
        Pipes { spare: Vec::new(), lent: 0, limit, patience: 0 }
    }

    /// Lends at most so many from now on. Those that are lent already stay so.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.spare.truncate(limit.div_ceil(4));
    }

    /// Whether one can be lent, as far as that is known.
    pub fn is_available(&mut self) -> bool {
        if self.spare.is_empty() && self.patience > 0 {
            self.patience -= 1;
            return false;
        }
        self.lent < self.limit
    }

    /// An empty pipe; `None` at the limit, or when the system gives none.
    pub fn take(&mut self) -> Option<Pipe> {
        if self.lent >= self.limit {
            return None;
        }
        let pipe = match self.spare.pop() {
            Some(pipe) => pipe,
            None => Pipe::new().map_err(|_| self.patience = PATIENCE).ok()?,
        };
        self.lent += 1;
        Some(pipe)
    }

    /// Takes a pipe back. One with bytes in it is closed, and they are lost.
    pub fn give(&mut self, pipe: Pipe) {
        self.lent = self.lent.saturating_sub(1);
        if pipe.is_empty() && self.spare.len() < self.limit.div_ceil(4) {
            self.spare.push(pipe);
        }
    }

    /// Closes the unused ones.
    pub fn forget_spare(&mut self) {
        self.spare = Vec::new();
    }

    /// How many pipes are lent.
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// Most pipes that are lent at a time.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many unused pipes are kept.
    pub fn spare(&self) -> usize {
        self.spare.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};

    /// Two ends of a connection; the second does not wait.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        far.set_nonblocking(true).unwrap();
        (near, far)
    }

    /// Fills the pipe with what is there as soon as something is.
    fn fill(pipe: &mut Pipe, source: &TcpStream) -> usize {
        loop {
            match pipe.fill(source, PIPE_SIZE) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                filled => return filled.unwrap(),
            }
        }
    }

    #[test]
    fn bytes_pass_through_a_pipe() {
        let (mut sender, source) = connection();
        let (mut receiver, sink) = connection();
        let mut pipe = Pipe::new().unwrap();
        let empty = pipe.fill(&source, PIPE_SIZE).unwrap_err();
        assert_eq!(empty.kind(), ErrorKind::WouldBlock);
        sender.write_all(b"hello world").unwrap();
        assert_eq!(fill(&mut pipe, &source), 11);
        assert_eq!((pipe.len(), pipe.is_empty()), (11, false));
        assert_eq!(pipe.drain(&sink).unwrap(), 11);
        assert!(pipe.is_empty());
        let mut seen = [0; 11];
        receiver.read_exact(&mut seen).unwrap();
        assert_eq!(&seen, b"hello world");
        sender.shutdown(Shutdown::Write).unwrap();
        assert_eq!(fill(&mut pipe, &source), 0, "the end");
    }

    #[test]
    fn what_the_sink_does_not_take_stays_in_the_pipe() {
        let (mut sender, source) = connection();
        let (mut receiver, mut sink) = connection();
        let mut filler = 0;
        while let Ok(count) = sink.write(&[0; 1000]) {
            filler += count;
        }
        sender.write_all(b"hello").unwrap();
        let mut pipe = Pipe::new().unwrap();
        assert_eq!(fill(&mut pipe, &source), 5);
        let full = pipe.drain(&sink).unwrap_err();
        assert_eq!((full.kind(), pipe.len()), (ErrorKind::WouldBlock, 5));
        receiver.read_exact(&mut vec![0; filler]).unwrap();
        while !pipe.is_empty() {
            let drained = pipe.drain(&sink);
            assert!(drained.is_ok() || drained.unwrap_err().kind() == ErrorKind::WouldBlock);
        }
        let mut seen = [0; 5];
        receiver.read_exact(&mut seen).unwrap();
        assert_eq!(&seen, b"hello");
    }

    #[test]
    fn an_urgent_octet_looks_like_an_end_or_like_nothing() {
        let (mut sender, mut source) = connection();
        sender.write_all(b"before").unwrap();
        let mut pipe = Pipe::new().unwrap();
        assert_eq!(fill(&mut pipe, &source), 6);
        socket2::SockRef::from(&sender).send_out_of_band(b"!").unwrap();
        sender.write_all(b"after").unwrap();
        while source.peek(&mut [0; 9]).ok() != Some(5) {}
        assert_eq!(pipe.fill(&source, 9).unwrap_err().kind(), ErrorKind::WouldBlock);
        sender.shutdown(Shutdown::Write).unwrap();
        assert_eq!(fill(&mut pipe, &source), 0);
        let mut seen = [0; 9];
        assert_eq!(source.read(&mut seen).unwrap(), 5);
        assert_eq!(&seen[..5], b"after");
    }

    #[test]
    fn pipes_are_made_when_needed_and_kept_when_empty() {
        let mut pipes = Pipes::new(2);
        assert!(pipes.is_available());
        assert_eq!((pipes.lent(), pipes.spare()), (0, 0));
        let (one, mut two) = (pipes.take().unwrap(), pipes.take().unwrap());
        assert!(!pipes.is_available() && pipes.take().is_none());
        let (mut sender, source) = connection();
        sender.write_all(b"left behind").unwrap();
        fill(&mut two, &source);
        pipes.give(two);
        assert_eq!((pipes.lent(), pipes.spare()), (1, 0), "closed");
        pipes.give(one);
        assert_eq!((pipes.lent(), pipes.spare()), (0, 1));
        assert!(pipes.is_available() && pipes.take().is_some_and(|pipe| pipe.is_empty()));
        let mut pipes = Pipes::new(8);
        let lent: Vec<Pipe> = std::iter::from_fn(|| pipes.take()).collect();
        lent.into_iter().for_each(|pipe| pipes.give(pipe));
        assert_eq!((pipes.lent(), pipes.spare()), (0, 2), "a quarter is kept");
        let lent = pipes.take().unwrap();
        pipes.forget_spare();
        assert_eq!((pipes.lent(), pipes.spare()), (1, 0));
        pipes.set_limit(0);
        assert!(!pipes.is_available());
        pipes.give(lent);
        assert_eq!((pipes.lent(), pipes.spare()), (0, 0));
    }

    #[test]
    fn who_could_not_have_a_pipe_does_without_for_a_while() {
        let mut pipes = Pipes { patience: 3, ..Pipes::new(1) };
        let refused = (0..9).take_while(|_| !pipes.is_available()).count();
        assert_eq!(refused, 3);
        assert!(pipes.take().is_some());
    }
}
