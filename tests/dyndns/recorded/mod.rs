//! Requests as each client sends them, and exactly what each is answered, one after another: a row per client and case.
//!
//! The requests are taken from the clients' sources and from reports out of the field. Before each, the host is at [`AT6`], and its router has said
//! [`AT4`] and [`AT6`].

mod acme_dns;
mod desec;
mod dyndns2;
mod fritz_box;

pub(crate) use acme_dns::ACME_DNS;
pub(crate) use desec::DESEC_AND_DYNV6;
pub(crate) use dyndns2::DYNDNS2;
pub(crate) use fritz_box::FRITZ_BOX;

/// What is known of a host before.
pub(crate) const AT4: &str = "100.64.0.7";
pub(crate) const AT6: &str = "2001:db8:100:5::11";

/// A client's request, and what becomes of it.
pub(crate) struct Row {
    pub(crate) client: &'static str,
    /// Over IPv6, from 2001:db8:100::11; else over IPv4, from 192.0.2.4.
    pub(crate) six: bool,
    /// With `{HOST}`, `{LABEL}`, `{PASSWORD}` and `{BASIC}` to fill in; a line feed for each end of a line.
    pub(crate) request: &'static str,
    pub(crate) status: u16,
    pub(crate) body: &'static str,
    /// The host's AAAA, and the router's A and AAAA, afterwards.
    pub(crate) after: [&'static str; 3],
}

const fn row(client: &'static str, request: &'static str, status: u16, body: &'static str, after: [&'static str; 3]) -> Row {
    Row { client, six: false, request, status, body, after }
}

const fn over6(row: Row) -> Row {
    Row { six: true, ..row }
}
