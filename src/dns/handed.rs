//! Updates that came by UDP and wait for the disk: handed over by the threads that receive, answered from the sockets that were asked.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::counters::Counter;
use super::signed::Told;
use super::updates::{Pending, Updates};
use crate::mmsg::Return;

/// Under way at once, and as many that wait for it; beyond, they are told to come again.
const LIMIT: usize = 1024;

/// Where updates go.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) updates: Arc<Updates>,
    tray: mpsc::Sender<Handed>,
}

/// A change, and the way of its answer.
pub(super) struct Handed {
    pub(super) pending: Box<Pending>,
    pub(super) socket: Arc<UdpSocket>,
    pub(super) back: Return,
    pub(super) counter: Arc<Counter>,
}

impl Desk {
    pub(super) fn new(updates: Arc<Updates>) -> (Self, mpsc::Receiver<Handed>) {
        let (tray, handed) = mpsc::channel(LIMIT);
        (Self { updates, tray }, handed)
    }

    /// Hands a change over; where there is no room for it, what is said to it.
    pub(super) fn hand_over(&self, handed: Handed) -> Result<(), Told> {
        self.tray.try_send(handed).map_err(|full| full.into_inner().pending.busy())
    }
}

/// Carries out what is handed over, for as long as anybody can.
pub(super) async fn serve(mut handed: mpsc::Receiver<Handed>) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            next = handed.recv(), if under_way.len() < LIMIT => match next {
                Some(next) => drop(under_way.spawn(next.carry_out())),
                None => return,
            },
            Some(_) = under_way.join_next() => {}
        }
    }
}

impl Handed {
    async fn carry_out(self) {
        let told = self.pending.done().await;
        self.counter.said(Some((told.rcode, false)));
        if self.back.send(self.socket.as_fd(), &told.message).is_err() {
            self.counter.dropped(1);
        }
    }
}
