//! Zones for other name servers: whole ones (AXFR, RFC 5936) and what changed since (IXFR, RFC 1995), on connections.
//!
//! A transfer is of one snapshot and takes the memory of a message or two; whoever reads slowly holds up nobody else, and not for ever. Who may
//! have one is `fourward_core::transfer::may`'s word, for every way to ask.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fourward_core::answer::{Asker, TCP_LIMIT, Transport, limit};
use fourward_core::change::Serial;
use fourward_core::cookie::{ClientCookie, ServerCookie};
use fourward_core::name::DnsName;
use fourward_core::state::State;
use fourward_core::transfer::{Pending, Request, Secondary, Walk, Wanted, may, soa};
use fourward_core::update::{No, Reply};
use fourward_core::wire::{Canonical, ExtendedError, Query, Rcode, Writer};
use fourward_core::zone::{ZoneParams, ZoneView};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::meter::{Kind, Meter};
use super::signed::{Session, cookie};
use crate::store::Store;

/// Transfers at once; the others wait.
const AT_ONCE: usize = 16;

/// For their turn.
const TURN: Duration = Duration::from_secs(5);

/// A message is taken within this: the slowest line needs a tenth.
const MESSAGE: Duration = Duration::from_secs(10);

/// All of a transfer. A snapshot is kept as long, and with it what is gone from the state since.
const WHOLE: Duration = Duration::from_secs(3_600);

/// Bytes of a message: names in it can point to the first 16 KiB of it only, and each is signed anew.
const SIZE: usize = 16 << 10;

/// What is read from the journal at once. Half of it is more than the longest record, so that one that waits is whole.
const READ: usize = 256 << 10;

/// Gives zones to secondaries.
pub struct Transfers {
    pub(super) secondaries: Vec<Secondary>,
    store: Store,
    slots: Semaphore,
    meter: Meter,
}

/// A question for a transfer by somebody who may have it, as far as the answer depends on it.
pub(super) struct Asked<'a> {
    pub(super) message: &'a [u8],
    pub(super) client: IpAddr,
    pub(super) cookie: Option<(ClientCookie, ServerCookie)>,
    pub(super) session: Option<Session>,
}

/// What is sent.
enum Plan {
    /// The one start of authority: there is nothing newer.
    Current,
    /// Step by step from this version.
    Steps(Serial),
    /// All of it.
    Whole,
}

/// Why a transfer ended before its end.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the journal cannot be read: {0}")]
    Journal(String),
    #[error("the journal was cut meanwhile")]
    Cut,
    #[error("it took too long")]
    TooLong(#[from] tokio::time::error::Elapsed),
}

impl Transfers {
    /// Transfers of what is in `store` to `secondaries`; `None` where there are none.
    pub fn new(secondaries: &[Secondary], store: Store) -> Option<Arc<Self>> {
        let (secondaries, meter) = (secondaries.to_vec(), Meter::new(secondaries.len()));
        (!secondaries.is_empty()).then(|| Arc::new(Self { secondaries, store, slots: Semaphore::new(AT_ONCE), meter }))
    }

    /// What was counted.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Those to whom zones are given, in the order of the configuration.
    pub fn secondaries(&self) -> &[Secondary] {
        &self.secondaries
    }

    /// Whether whoever asks from `address`, with that key, may have zones.
    pub(super) fn may(&self, address: IpAddr, session: Option<&Session>) -> bool {
        may(&self.secondaries, address, session.map(Session::key))
    }

    /// What is said to a question for a transfer that came in a datagram: only which version there is (RFC 1995 §2), so that its sender comes
    /// back on a connection. `None` where that is no answer.
    pub(super) fn in_a_datagram(
        &self,
        message: &[u8],
        asker: &Asker<'_>,
        session: Option<&Session>,
        state: &State,
        params: &ZoneParams,
    ) -> Option<Vec<u8>> {
        if !self.may(asker.address, session) {
            return None;
        }
        let request = Request::parse(message).ok().filter(|request| request.wanted != Wanted::Whole)?;
        let view = ZoneView::new(request.zone(params)?, state, params)?;
        let room = limit(&request.query, Transport::Udp).saturating_sub(session.map_or(0, Session::size));
        let mut out = Vec::new();
        let cookie = cookie(&request.query, asker);
        let start = soa(&view);
        let count = request.message(cookie.as_ref(), room, &mut out, &mut |writer, at| one(&start, &view, writer, at)).ok()?;
        (count == 1).then_some(out)
    }

    /// Answers `asked`, of `states` as they are then, on `out`. The code of what was said.
    pub(super) async fn serve(
        &self,
        asked: Asked<'_>,
        states: &watch::Receiver<Arc<State>>,
        params: &Arc<ZoneParams>,
        out: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<Rcode> {
        let mut line = Line { session: asked.session, out, sent: 0 };
        let request = match Request::parse(asked.message) {
            Ok(request) => request,
            Err(rcode) => return line.refuse(asked.message, No::from(rcode)).await,
        };
        let Some(zone) = request.zone(params) else {
            let error = Some(ExtendedError::NOT_AUTHORITATIVE);
            return line.refuse(asked.message, No { rcode: Rcode::NOTAUTH, error }).await;
        };
        let not_now = No { rcode: Rcode::SERVFAIL, error: Some(ExtendedError::NOT_READY) };
        let Ok(Ok(_slot)) = timeout(TURN, self.slots.acquire()).await else {
            warn!(%zone, client = %asked.client, "too many transfers at once; one was put off");
            return line.refuse(asked.message, not_now).await;
        };
        // After the wait: nobody waits with an old state in hand.
        let state = Arc::clone(&states.borrow());
        let Some(view) = ZoneView::new(zone, &state, params) else { return line.refuse(asked.message, not_now).await };
        let serial = state.zone(zone).map_or(Serial(0), |zone| zone.serial);
        let plan = self.plan(&request, zone, serial).await;
        let kind = plan.kind();
        let mut job = Job { request, cookie: asked.cookie, view, line };
        let ended = timeout(WHOLE, self.send(plan, &mut job, serial)).await.unwrap_or_else(|elapsed| Err(elapsed.into()));
        let sent = job.line.sent;
        self.meter.transferred(kind, sent, ended.is_ok());
        match ended {
            Ok(()) if kind == Kind::Whole => {
                info!(%zone, client = %asked.client, serial = serial.0, bytes = sent, "gave the whole zone")
            }
            Ok(()) => debug!(%zone, client = %asked.client, serial = serial.0, bytes = sent, ?kind, "gave what is new"),
            Err(error) => {
                warn!(%zone, client = %asked.client, %error, "a transfer broke off; the secondary will try again");
                return Err(io::Error::other(error));
            }
        }
        Ok(Rcode::NOERROR)
    }

    async fn plan(&self, request: &Request<'_>, zone: &DnsName, serial: Serial) -> Plan {
        let Wanted::Since(since) = request.wanted else { return Plan::Whole };
        if since == serial || since.is_after(serial) {
            return Plan::Current;
        }
        let (store, zone) = (self.store.clone(), zone.clone());
        match spawn_blocking(move || store.journal_reaches(&zone, since, serial)).await {
            Ok(Ok(true)) => Plan::Steps(since),
            Ok(Ok(false)) | Err(_) => Plan::Whole,
            Ok(Err(error)) => {
                warn!(%error, "the journal cannot be read; a whole zone is given");
                Plan::Whole
            }
        }
    }

    async fn send<W: AsyncWrite + Unpin>(&self, plan: Plan, job: &mut Job<'_, '_, W>, serial: Serial) -> Result<(), Broken> {
        let start = soa(&job.view);
        match plan {
            Plan::Current => {
                let mut pending = Pending::default();
                pending.push(&start);
                job.flush(&mut pending, 0).await
            }
            Plan::Whole => job.whole().await,
            Plan::Steps(from) => {
                let mut pending = Pending::default();
                pending.push(&start);
                let mut place = Place { at: from, skip: 0 };
                while place.at != serial {
                    let (store, zone) = (self.store.clone(), job.view.name.clone());
                    let read = spawn_blocking(move || place.read(&store, &zone, serial)).await;
                    let (next, bytes) = read.map_err(|error| Broken::Journal(error.to_string()))??;
                    place = next;
                    pending.push(&bytes);
                    job.flush(&mut pending, READ / 2).await?;
                }
                pending.push(&start);
                job.flush(&mut pending, 0).await
            }
        }
    }
}

impl Plan {
    fn kind(&self) -> Kind {
        match self {
            Self::Current => Kind::Current,
            Self::Steps(_) => Kind::Steps,
            Self::Whole => Kind::Whole,
        }
    }
}

/// How far the journal is read: which step, and how many of its bytes.
#[derive(Clone, Copy)]
struct Place {
    at: Serial,
    skip: usize,
}

impl Place {
    /// Reads on, up to about [`READ`] bytes, and not beyond the version `to`.
    fn read(mut self, store: &Store, zone: &DnsName, to: Serial) -> Result<(Self, Vec<u8>), Broken> {
        let mut bytes = Vec::new();
        while self.at != to && bytes.len() < READ {
            let piece = store.journal_piece(zone, self.at, self.skip, READ).map_err(|error| Broken::Journal(error.to_string()))?;
            let piece = piece.ok_or(Broken::Cut)?;
            bytes.extend_from_slice(&piece.records);
            self = if piece.last {
                Self { at: piece.to, skip: 0 }
            } else {
                Self { skip: self.skip.saturating_add(piece.records.len()), ..self }
            };
        }
        Ok((self, bytes))
    }
}

/// The way to the client.
struct Line<'o, W> {
    session: Option<Session>,
    out: &'o mut W,
    sent: u64,
}

impl<W: AsyncWrite + Unpin> Line<'_, W> {
    fn room(&self) -> usize {
        TCP_LIMIT.saturating_sub(self.session.as_ref().map_or(0, Session::size))
    }

    async fn put(&mut self, mut message: Vec<u8>) -> io::Result<()> {
        if let Some(session) = &mut self.session {
            session.seal(&mut message);
        }
        let length = u16::try_from(message.len()).map_err(io::Error::other)?.to_be_bytes();
        message.splice(..0, length);
        timeout(MESSAGE, self.out.write_all(&message)).await??;
        self.sent = self.sent.saturating_add(u64::try_from(message.len()).unwrap_or_default());
        Ok(())
    }

    async fn refuse(&mut self, message: &[u8], no: No) -> io::Result<Rcode> {
        let signature = self.session.as_ref().map_or(0, Session::size);
        let reply = Reply { no: Some(no), cookie: None, transport: Transport::Tcp, signature };
        let Some(query) = Query::parse(message) else { return Ok(no.rcode) };
        self.put(reply.message(&query)).await?;
        Ok(no.rcode)
    }
}

/// A transfer under way.
struct Job<'a, 'l, W> {
    request: Request<'a>,
    cookie: Option<(ClientCookie, ServerCookie)>,
    view: ZoneView<'a>,
    line: Line<'l, W>,
}

impl<W: AsyncWrite + Unpin> Job<'_, '_, W> {
    /// Sends one message with as many records as `body` writes, of [`SIZE`] or what one record takes. Whether it wrote any.
    async fn message(&mut self, body: &mut (dyn FnMut(&mut Writer<'_>, u16) -> u16 + Send)) -> Result<bool, Broken> {
        let room = self.line.room();
        for limit in [SIZE.min(room), room] {
            let mut out = Vec::new();
            let count = self.request.message(self.cookie.as_ref(), limit, &mut out, body);
            if count.is_ok_and(|count| count > 0) {
                self.line.put(out).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn whole(&mut self) -> Result<(), Broken> {
        let (mut walk, view) = (Walk::default(), self.view);
        while !walk.is_over() {
            if !self.message(&mut |writer, at| walk.fill(&view, writer, at)).await? {
                walk.skip();
            }
        }
        Ok(())
    }

    /// Sends what is pending, until no more than `rest` bytes are.
    async fn flush(&mut self, pending: &mut Pending, rest: usize) -> Result<(), Broken> {
        let zone = Canonical::of(self.view.name);
        while pending.len() > rest {
            if !self.message(&mut |writer, at| pending.fill(writer, zone.as_bytes(), at)).await? {
                pending.skip();
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Transfers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transfers({:?})", self.secondaries)
    }
}

/// Writes one record.
fn one(record: &[u8], view: &ZoneView<'_>, writer: &mut Writer<'_>, at: u16) -> u16 {
    let mut pending = Pending::default();
    pending.push(record);
    pending.fill(writer, Canonical::of(view.name).as_bytes(), at)
}

#[cfg(test)]
mod tests;
