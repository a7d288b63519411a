//! What the name server did, in numbers, for metrics.
//!
//! Each socket counts for itself, on cache lines of its own: the way of an answer neither takes a lock nor waits for another thread's
//! count. They are added up when somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fourward_core::answer::Transport;
use fourward_core::wire::Rcode;

use crate::tally::Tally;

/// Response codes by their number (RFC 6895 §2.3). The last is an extended one, whose number does not fit the header.
pub const RCODES: [&str; 12] =
    ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE", "BADVERS"];
const BADVERS: usize = RCODES.len() - 1;

/// The counters of all sockets.
#[derive(Clone, Debug, Default)]
pub struct Counters(Vec<Arc<Counter>>);

/// The counters of one socket. Aligned to the two cache lines that a processor fetches together.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Counter {
    pub(super) transport: Transport,
    queries: AtomicU64,
    silent: AtomicU64,
    dropped: AtomicU64,
    limited: AtomicU64,
    turned_away: AtomicU64,
    truncated: AtomicU64,
    answers: Tally<{ RCODES.len() }>,
}

/// The sums of one transport at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Messages that came.
    pub queries: u64,
    /// Those of them to which silence is the answer.
    pub silent: u64,
    /// Answers that the kernel did not take.
    pub dropped: u64,
    /// Answers that were held back, or cut short, because the network had so many.
    pub limited: u64,
    /// Connections beyond the limit.
    pub turned_away: u64,
    /// Answers that said to come back by TCP.
    pub truncated: u64,
    /// Answers by their code, in the order of [`RCODES`].
    pub answers: [u64; RCODES.len()],
}

impl Counters {
    pub(super) fn socket(&mut self, transport: Transport) {
        self.0.push(Arc::new(Counter::new(transport)));
    }

    /// The sockets of `transport`, in the order in which they were added.
    pub(super) fn of(&self, transport: Transport) -> impl Iterator<Item = Arc<Counter>> {
        self.0.iter().filter(move |counter| counter.transport == transport).cloned()
    }

    /// What all sockets of `transport` did since the start.
    pub fn sums(&self, transport: Transport) -> Sums {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.of(transport).fold(Sums::default(), |mut sums, counter| {
            sums.queries += read(&counter.queries);
            sums.silent += read(&counter.silent);
            sums.dropped += read(&counter.dropped);
            sums.limited += read(&counter.limited);
            sums.turned_away += read(&counter.turned_away);
            sums.truncated += read(&counter.truncated);
            sums.answers.iter_mut().zip(counter.answers.counts()).for_each(|(sum, (_, count))| *sum += count);
            sums
        })
    }
}

impl Counter {
    pub(super) fn new(transport: Transport) -> Self {
        let [queries, silent, dropped, limited, turned_away, truncated] = [const { AtomicU64::new(0) }; 6];
        Self { transport, queries, silent, dropped, limited, turned_away, truncated, answers: Tally::new(&RCODES) }
    }

    pub(super) fn asked(&self) {
        self.queries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn limited(&self) {
        self.limited.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes what is said, if anything: its code, and whether it is cut.
    pub(super) fn said(&self, answer: Option<(Rcode, bool)>) {
        let Some((rcode, truncated)) = answer else {
            self.silent.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if truncated {
            self.truncated.fetch_add(1, Ordering::Relaxed);
        }
        self.answers.note_at(if rcode == Rcode::BADVERS { BADVERS } else { usize::from(rcode.0) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_added_up_by_transport() {
        let mut counters = Counters::default();
        [Transport::Udp, Transport::Udp, Transport::Tcp].into_iter().for_each(|transport| counters.socket(transport));
        for counter in counters.of(Transport::Udp) {
            counter.asked();
            counter.said(Some((Rcode::NXDOMAIN, true)));
        }
        let tcp = counters.of(Transport::Tcp).next().expect("a socket");
        tcp.asked();
        tcp.said(None);
        tcp.said(Some((Rcode::BADVERS, false)));
        tcp.said(Some((Rcode::NOERROR, false)));
        let udp = counters.sums(Transport::Udp);
        assert_eq!((udp.queries, udp.truncated, udp.answers[3], udp.answers.iter().sum()), (2, 2, 2, 2_u64));
        let tcp = counters.sums(Transport::Tcp);
        assert_eq!((tcp.queries, tcp.silent, tcp.answers[BADVERS], tcp.answers[0]), (1, 1, 1, 1));
    }
}
