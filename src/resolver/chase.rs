//! Follows a name along its CNAMEs to its addresses, as far as the resolvers and a few questions go.

use std::net::IpAddr;

use fourward_core::name::DnsName;
use fourward_core::reply::{Data, Reply};
use fourward_core::wire::{Rcode, Type};
use tokio::time::Instant;

use super::{ResolveError, Resolvers};

/// CNAMEs from the first name to the last; more are somebody's mistake, or a circle.
const LINKS: usize = 8;

/// A resolver follows the chain by itself; one that gives only a part of it is asked for the rest.
const QUESTIONS: usize = 4;

/// Where a name leads, and for how many seconds that may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chased {
    /// By at least one CNAME to a name that whoever asked was looking for.
    Stopped {
        /// That name.
        end: DnsName,
        /// For how long.
        ttl: u32,
    },
    /// To these addresses: at least one.
    Addresses {
        /// In the order in which they came.
        addresses: Vec<IpAddr>,
        /// For how long.
        ttl: u32,
    },
    /// To nothing of that type.
    Nothing {
        /// Whether there is not even such a name.
        no_name: bool,
        /// For how long.
        ttl: u32,
    },
    /// On and on.
    Endless {
        /// For how long.
        ttl: u32,
    },
    /// The servers could not find out.
    Unable,
}

impl Resolvers {
    /// Where `name` leads to addresses of `kind` (A or AAAA), or by CNAME to a name that `stop` is looking for.
    ///
    /// # Errors
    /// No server answered, or there is nobody to ask.
    pub async fn chase(
        &self,
        name: &DnsName,
        kind: Type,
        deadline: Instant,
        stop: impl Fn(&DnsName) -> bool,
    ) -> Result<Chased, ResolveError> {
        let (mut here, mut links, mut ttl) = (name.clone(), 0_usize, u32::MAX);
        for _ in 0..QUESTIONS {
            let reply = self.ask(&here, kind, deadline).await?;
            let Some(chain) = reply.chain(&here, LINKS.saturating_sub(links)) else { return Ok(Chased::Endless { ttl }) };
            links = links.saturating_add(chain.links);
            ttl = ttl.min(chain.ttl);
            if links > 0 && stop(&chain.end) {
                return Ok(Chased::Stopped { end: chain.end, ttl });
            }
            match ending(&reply, &chain.end, kind) {
                Ending::Here(addresses, kept) if addresses.is_empty() => {
                    return Ok(Chased::Nothing { no_name: reply.rcode == Rcode::NXDOMAIN, ttl: ttl.min(kept) });
                }
                Ending::Here(addresses, kept) => return Ok(Chased::Addresses { addresses, ttl: ttl.min(kept) }),
                Ending::Unable => return Ok(Chased::Unable),
                Ending::Part if chain.links == 0 => return Ok(Chased::Unable),
                Ending::Part => here = chain.end,
            }
        }
        Ok(Chased::Unable)
    }
}

/// What a reply says about the last name in it.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// It has these addresses, or none, for so many seconds.
    Here(Vec<IpAddr>, u32),
    /// It says nothing about it: it is to be asked for.
    Part,
    /// The server could not find out.
    Unable,
}

fn ending(reply: &Reply, end: &DnsName, kind: Type) -> Ending {
    if !matches!(reply.rcode, Rcode::NOERROR | Rcode::NXDOMAIN) {
        return Ending::Unable;
    }
    let of_end = reply.answer.iter().filter(|record| record.owner.as_ref() == Some(end) && record.kind == kind);
    let addresses: Vec<_> = of_end.filter_map(|record| Some((address(&record.data)?, record.ttl))).collect();
    match addresses.iter().map(|(_, ttl)| *ttl).min().or_else(|| reply.negative_ttl()) {
        Some(ttl) => Ending::Here(addresses.into_iter().map(|(address, _)| address).collect(), ttl),
        None if reply.rcode == Rcode::NXDOMAIN => Ending::Here(Vec::new(), 0),
        None => Ending::Part,
    }
}

fn address(data: &Data) -> Option<IpAddr> {
    match data {
        Data::A(v4) => Some(IpAddr::V4(*v4)),
        Data::Aaaa(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use fourward_core::reply::{Record, Soa};
    use fourward_core::wire::CLASS_IN;

    use super::*;

    const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const ADDRESS: IpAddr = IpAddr::V4(V4);

    fn name(text: &str) -> DnsName {
        text.parse().expect("a name")
    }

    fn record(owner: &str, kind: Type, ttl: u32, data: Data) -> Record {
        Record { owner: Some(name(owner)), kind, class: CLASS_IN, ttl, data }
    }

    fn said(rcode: Rcode, answer: Vec<Record>, authority: Vec<Record>) -> Ending {
        let reply = Reply {
            id: 0,
            question: None,
            authoritative: false,
            truncated: false,
            recursion_available: true,
            rcode,
            answer,
            authority,
            additional: Vec::new(),
        };
        ending(&reply, &name("end.org"), Type::A)
    }

    #[test]
    fn a_reply_says_how_its_last_name_ends() {
        let address = |owner| record(owner, Type::A, 30, Data::A(V4));
        let soa = || record("org", Type::SOA, 90, Data::Soa(Soa { primary: None, serial: 1, minimum: 60 }));
        assert_eq!(said(Rcode::NOERROR, vec![address("end.org")], vec![]), Ending::Here(vec![ADDRESS], 30));
        assert_eq!(said(Rcode::NOERROR, vec![], vec![soa()]), Ending::Here(vec![], 60));
        assert_eq!(said(Rcode::NXDOMAIN, vec![], vec![soa()]), Ending::Here(vec![], 60));
        assert_eq!(said(Rcode::NXDOMAIN, vec![], vec![]), Ending::Here(vec![], 0));
        assert_eq!(said(Rcode::NOERROR, vec![address("x.org")], vec![]), Ending::Part);
        for rcode in [Rcode::SERVFAIL, Rcode::REFUSED, Rcode::FORMERR, Rcode::BADVERS] {
            assert_eq!(said(rcode, vec![], vec![soa()]), Ending::Unable, "{rcode:?}");
        }
    }
}
