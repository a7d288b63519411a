//! What a QUIC client asks for, out of the first packets of its connection (RFC 9000 §17.2.2, RFC 9001 §5, RFC 9369).
//!
//! A client's Initial packets are sealed with keys that follow from what they show, so that whoever is on the way can open them. Here is how
//! they are opened and how the hello is put together that is spread over them; the ciphers are the caller's ([`Keys`]), the hello's own
//! reader is `client_hello`. Nothing is changed: the datagrams go on as they came.

mod crypto;
mod packet;

use crate::client_hello::{self, ClientHello};
use crate::peek::Peek;
use crate::reader::Reader;
use crypto::{Broken, Crypto};
pub use packet::{ID_LIMIT, Kind, Long, Packet, Packets, Version, packets};

/// A client fills datagrams with Initial packets up to this; others are ignored (RFC 9000 §14.1).
pub const LEAST: usize = 1200;

/// Datagrams that a hello may be spread over, those that are sent again included.
pub const DATAGRAMS: usize = 10;

/// How much of a packet header protection looks at, and where: so far behind the beginning of the packet number (RFC 9001 §5.4.2).
const SAMPLE: usize = 16;
const SAMPLE_AFTER: usize = 4;

/// The ciphers for what the client sends, made of the version and the connection ID that it chose for the server.
pub trait Keys {
    /// Takes the protection off a header's `first` byte and its packet `number`, by the `sample`. `false`: it cannot be.
    fn unmask(&self, sample: &[u8], first: &mut u8, number: &mut [u8]) -> bool;

    /// Opens `payload` in place, of the packet with this `number` and `header`; how many bytes it has then. `None`: it is not genuine.
    fn open(&self, number: u64, header: &[u8], payload: &mut [u8]) -> Option<usize>;
}

/// A connection that begins: its hello is not complete yet, or was not asked for.
#[derive(Debug)]
pub struct Beginning<K> {
    keys: K,
    version: Version,
    destination: Vec<u8>,
    crypto: Crypto,
    /// The greatest packet number that was opened.
    largest: Option<u64>,
    datagrams: usize,
}

/// Reads the first datagram of a connection. `None`: there is nothing in it that its own keys open, so no server would answer it.
pub fn begin<K: Keys>(datagram: &[u8], keys: impl FnOnce(Version, &[u8]) -> Option<K>) -> Option<(Beginning<K>, Peek<ClientHello>)> {
    let Packet::Long(first) = packets(datagram).next()? else { return None };
    if first.kind != Kind::Initial || datagram.len() < LEAST {
        return None;
    }
    let (version, destination) = (first.version, first.destination.to_vec());
    let keys = keys(version, &destination)?;
    let mut beginning = Beginning { keys, version, destination, crypto: Crypto::default(), largest: None, datagrams: 0 };
    let peek = beginning.read(datagram);
    (beginning.largest.is_some() || peek != Peek::Partial).then_some((beginning, peek))
}

impl<K: Keys> Beginning<K> {
    /// Bytes of memory that what has come of the hello takes.
    pub fn held(&self) -> usize {
        self.crypto.held()
    }

    /// Reads another datagram of the connection: what the hello says, once it is whole. Never [`Peek::Partial`] from the
    /// [`DATAGRAMS`]th on.
    pub fn read(&mut self, datagram: &[u8]) -> Peek<ClientHello> {
        self.datagrams = self.datagrams.saturating_add(1);
        if self.add(datagram).is_err() {
            return Peek::Foreign;
        }
        match client_hello::message(self.crypto.beginning()) {
            Peek::Partial if self.datagrams >= DATAGRAMS => Peek::Foreign,
            peek => peek,
        }
    }

    /// The connection ID that the client chose for the server.
    pub fn destination(&self) -> &[u8] {
        &self.destination
    }

    /// The bytes of the handshake that nothing is missing before.
    pub fn handshake(&self) -> &[u8] {
        self.crypto.beginning()
    }

    /// Takes the frames out of every packet that can be opened. What cannot is passed over, as a server does it.
    fn add(&mut self, datagram: &[u8]) -> Result<(), Broken> {
        if datagram.len() < LEAST {
            return Ok(());
        }
        for packet in packets(datagram) {
            let Packet::Long(long) = packet else { break };
            let ours = long.kind == Kind::Initial && long.version == self.version && long.destination == self.destination;
            if ours && let Some(payload) = self.open(&long) {
                self.frames(Reader(&payload))?;
            }
        }
        Ok(())
    }

    fn open(&mut self, long: &Long<'_>) -> Option<Vec<u8>> {
        let mut whole = long.whole.to_vec();
        let (header, sealed) = whole.split_at_mut_checked(long.number_at)?;
        let (number, behind) = sealed.split_at_mut_checked(SAMPLE_AFTER)?;
        if !self.keys.unmask(behind.get(..SAMPLE)?, header.first_mut()?, number) {
            return None;
        }
        let length = usize::from(header.first()? & 3) + 1;
        let number = self.full_number(number.get(..length)?);
        let (header, payload) = whole.split_at_mut_checked(long.number_at.checked_add(length)?)?;
        let plain = self.keys.open(number, header, payload)?;
        self.largest = self.largest.max(Some(number));
        payload.get(..plain).map(<[u8]>::to_vec)
    }

    /// The packet number that ends with `bytes` and is nearest to the one expected (RFC 9000 appendix A.3).
    fn full_number(&self, bytes: &[u8]) -> u64 {
        let window = 1_u64 << (8 * bytes.len()).min(32);
        let cut = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let expected = self.largest.map_or(0, |largest| largest.saturating_add(1));
        let candidate = (expected & !(window - 1)) | cut;
        if candidate.saturating_add(window / 2) <= expected {
            return candidate.saturating_add(window);
        }
        if candidate > expected.saturating_add(window / 2) { candidate.checked_sub(window).unwrap_or(candidate) } else { candidate }
    }

    /// The frames that Initial packets may hold (RFC 9000 §12.4). Others are for the home to judge, with what we cannot read behind them.
    fn frames(&mut self, mut rest: Reader<'_>) -> Result<(), Broken> {
        const PADDING: u8 = 0;
        const PING: u8 = 1;
        const ACK: u8 = 2;
        const ACK_ECN: u8 = 3;
        const CRYPTO: u8 = 6;
        while let Some(kind) = rest.u8() {
            match kind {
                PADDING | PING => {}
                ACK | ACK_ECN => skip_ack(&mut rest, kind == ACK_ECN).ok_or(Broken)?,
                CRYPTO => {
                    let offset = packet::number(&mut rest).ok_or(Broken)?;
                    let length = packet::number(&mut rest).and_then(|length| usize::try_from(length).ok()).ok_or(Broken)?;
                    self.crypto.add(offset, rest.take(length).ok_or(Broken)?)?;
                }
                _ => return Err(Broken),
            }
        }
        Ok(())
    }
}

fn skip_ack(rest: &mut Reader<'_>, ecn: bool) -> Option<()> {
    packet::number(rest)?; // the largest
    packet::number(rest)?; // the delay
    let ranges = packet::number(rest)?;
    packet::number(rest)?; // the first range
    for _ in 0..ranges {
        packet::number(rest)?;
        packet::number(rest)?;
    }
    if ecn {
        for _ in 0..3 {
            packet::number(rest)?;
        }
    }
    Some(())
}

#[cfg(test)]
pub(crate) mod tests;
