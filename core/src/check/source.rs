//! Whether what the gateway sends from on behalf of its clients leads back to it.

use super::{Id, Judge, LATER};
use crate::facts::Connect;

impl Judge<'_> {
    /// Judged where the home takes connections from the gateway's own address: all else is the home's.
    pub(super) fn source(&mut self) {
        let id = Id::SourcePrefix;
        let Some(from) = self.seen.host.as_ref().and_then(|host| host.from_source) else { return };
        let (prefix, port) = (from.prefix, from.port);
        let how = format!("connected to TCP {port} of the home once more, from an address in {prefix}");
        match from.outcome {
            None => self.not_judged(id, LATER),
            Some(Connect::Open) => self.good(id, format!("what goes home from {prefix} is answered, and the answers come back"), how),
            Some(Connect::Refused | Connect::Prohibited) => {
                let what =
                    format!("the home answers this server's own address, and refuses what comes from {prefix} (gateway.source-prefix)");
                self.fault(id, what, how, format!("at home and in its router, let in {prefix} as well: behind it are the clients"));
            }
            Some(Connect::Unreachable | Connect::NoRoute | Connect::Silent) => {
                let what = format!(
                    "the home answers this server's own address, and nothing that is sent from {prefix} (gateway.source-prefix) is answered"
                );
                let remedy = format!(
                    "on the server `ip -6 route add local {prefix} dev lo`, and again at each boot; then have the provider route {prefix} to this server \
                     (`tcpdump -ni any net {prefix}` shows whether answers arrive), and let it in at home; or take source-prefix out until then: no IPv4 \
                     client gets through"
                );
                self.fault(id, what, how, remedy);
            }
        }
    }
}
