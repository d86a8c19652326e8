//! Streams that pass through pipes, and what may happen to them there.

use std::sync::LazyLock;

use super::*;
use crate::reactor::random::Random;

/// More than all queues on the way can hold.
static STREAM: LazyLock<Vec<u8>> = LazyLock::new(|| pattern(48 << 20));

/// A connection whose stream from the target to the client goes through a
/// pipe.
struct Flow {
    client: Peer,
    target: Peer,
    stream: &'static [u8],
    sent: usize,
}

impl Flow {
    fn begin(lab: &mut Lab, backend: &StdListener) -> Flow {
        let (client, target) = lab.pair(backend);
        let mut flow = Flow { client, target, stream: &STREAM, sent: 0 };
        lab.until("a pipe is used", |lab| {
            flow.pass(1 << 20);
            lab.pipes() > 0
        });
        flow
    }

    /// Both ends do a little.
    fn pass(&mut self, read: usize) {
        self.sent += self.target.write(&self.stream[self.sent..]);
        self.client.read(read);
    }

    /// Writes until a pipe holds bytes that the client does not take.
    fn fill(&mut self, lab: &mut Lab) {
        let mut still = 0;
        lab.until("everything is full", |_| {
            let more = self.target.write(&self.stream[self.sent..]);
            self.sent += more;
            still = if more == 0 { still + 1 } else { 0 };
            still > 20
        });
        assert_eq!(lab.house.proxy.pipes.lent(), 1, "held back in the pipe");
        assert_eq!(lab.reactor.pool.lent() + lab.house.proxy.large.lent(), 0);
    }

    /// The client reads all that was sent.
    fn finish(&mut self, lab: &mut Lab) {
        lab.until("every byte", |_| {
            self.client.read(1 << 20);
            self.client.seen.len() == self.sent
        });
        assert!(self.client.seen == self.stream[..self.sent]);
    }
}

impl Lab {
    /// Pipes that were made, lent and not.
    fn pipes(&self) -> usize {
        self.house.proxy.pipes.lent() + self.house.proxy.pipes.spare()
    }
}

#[test]
fn a_stream_takes_to_a_pipe_and_gives_it_back_when_it_pauses() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let (mut client, mut target) = lab.pair(&backend);
    for _ in 0..50 {
        client.send(b"question");
        lab.until("it comes", |_| target.saw(b"question"));
        target.seen.clear();
    }
    assert_eq!(lab.pipes(), 0, "messages need none");
    drop((client, target));
    lab.assert_empty();
    let mut flow = Flow::begin(&mut lab, &backend);
    flow.finish(&mut lab);
    lab.turns(3);
    assert_eq!((lab.house.proxy.pipes.lent(), lab.pipes()), (0, 1));
    assert!(!lab.house.proxy.has_ready());
    // And the other way, at the same time as an end.
    flow.target.end();
    lab.until("the end", |_| flow.client.saw_end());
    let mut sent = 0;
    lab.until("an upload", |_| {
        sent += flow.client.write(&flow.stream[sent..]);
        flow.target.read(1 << 20);
        flow.target.seen.len() == flow.stream.len()
    });
    assert!(flow.target.seen == flow.stream);
    flow.client.end();
    lab.until("its end", |_| flow.target.saw_end());
    lab.assert_empty();
    assert_eq!(lab.pipes(), 0, "nobody is left who might want one");
}

#[test]
fn the_end_comes_after_what_is_in_the_pipe() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let mut flow = Flow::begin(&mut lab, &backend);
    flow.fill(&mut lab);
    flow.target.end();
    lab.turns(5);
    flow.finish(&mut lab);
    lab.until("the end", |_| flow.client.saw_end());
    flow.client.end();
    lab.until("the other end", |_| flow.target.saw_end());
    lab.assert_empty();
    assert_eq!(lab.counters().resets, 0);
}

#[test]
fn a_reset_on_either_side_closes_a_pipe_with_bytes_in_it() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let _other = lab.pair(&backend);
    for (reader_resets, made) in [(true, 0), (false, 1)] {
        let mut flow = Flow::begin(&mut lab, &backend);
        flow.fill(&mut lab);
        let Flow { client, target, .. } = flow;
        let (reset, mut other) = if reader_resets { (client, target) } else { (target, client) };
        reset.reset();
        let mut read = 0;
        lab.until("the other side is reset", |_| {
            read += other.seen.len();
            other.seen.clear();
            other.saw_reset()
        });
        assert!(read < flow.sent);
        lab.until("it is gone", |lab| lab.house.proxy.connections() == 1);
        assert_eq!(lab.house.proxy.pipes.lent(), 0);
        assert_eq!(lab.pipes(), made, "its bytes must not reach another connection");
    }
    assert_eq!(lab.counters().resets, 2);
}

#[test]
fn an_urgent_octet_in_a_stream_loses_nothing_but_itself() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    for round in 0..20 {
        let mut flow = Flow::begin(&mut lab, &backend);
        if round % 2 == 0 {
            flow.finish(&mut lab);
        }
        let urgent = socket2::SockRef::from(&flow.target.stream);
        lab.until("there is room for it", |_| {
            flow.client.read(1 << 20);
            urgent.send_out_of_band(b"!").is_ok()
        });
        let after = flow.sent + 100_000 * round;
        flow.stream = &STREAM[..after.max(flow.sent + 1)];
        if round % 3 == 0 {
            lab.turns(2);
        }
        lab.until("the rest", |_| {
            flow.pass(1 << 20);
            flow.client.seen.len() == flow.stream.len()
        });
        assert!(flow.client.seen == flow.stream);
        flow.target.end();
        lab.until("the end", |_| flow.client.saw_end());
        drop(flow);
        lab.assert_empty();
    }
}

#[test]
fn a_stream_goes_on_when_pipes_come_and_go() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let mut flow = Flow::begin(&mut lab, &backend);
    let mut rounds = 0_usize;
    lab.until("all of it", |lab| {
        rounds += 1;
        lab.house.proxy.pipes.set_limit(rounds / 7 % 2);
        flow.pass(if rounds.is_multiple_of(3) { 1 << 20 } else { 1000 });
        flow.client.seen.len() == flow.stream.len()
    });
    assert!(flow.client.seen == flow.stream);
    drop(flow);
    lab.assert_empty();
}

/// Two connections, four streams, in pieces and fits and starts of all sizes.
#[test]
fn whatever_is_sent_arrives_in_order_however_it_passes() {
    for seed in 1..=12_u64 {
        let mut random = Random::new(seed);
        let mut below = |limit: u64| usize::try_from(random.next_u64() % limit).unwrap();
        let (backend, address) = backend();
        let mut lab = Lab::new(&settings(), &[address]);
        let pairs = [lab.pair(&backend), lab.pair(&backend)];
        let mut peers: Vec<Peer> = pairs.into_iter().flat_map(|(a, b)| [a, b]).collect();
        let streams = [0; 4].map(|_| &STREAM[below(20 << 20)..][..below(12 << 20)]);
        let mut sent = [0; 4];
        lab.until(&format!("all with seed {seed}"), |lab| {
            lab.house.proxy.pipes.set_limit(below(3));
            for (n, stream) in streams.iter().enumerate() {
                let size = [100, 20_000, 400_000, 4_000_000][below(4)];
                let rest = &stream[sent[n]..];
                let piece = &rest[..rest.len().min(below(size) + 1)];
                if sent[n] < stream.len() {
                    sent[n] += peers[n].write(piece);
                    if sent[n] == stream.len() {
                        peers[n].end();
                    }
                }
                let reads = [0, 1000, 100_000, 4_000_000][below(4)];
                if reads > 0 {
                    peers[n].read(reads);
                }
            }
            peers.iter().all(|peer| matches!(peer.end, Some(Ok(()))))
        });
        for (n, stream) in streams.iter().enumerate() {
            assert!(peers[n ^ 1].seen == **stream, "seed {seed}, stream {n}");
        }
        lab.assert_empty();
    }
}
