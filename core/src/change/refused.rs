//! Why a change is refused, and what to do about it.

use ipnet::Ipv6Net;
use jiff::Timestamp;

use crate::host::{EditError, Forward};
use crate::name::{DnsName, HostName};
use crate::policy::Forbidden;
use crate::service::Service;

/// Why a change is refused. The state is then as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such host.
    #[error("there is no host {0}; `fourward host list` shows those that are")]
    UnknownHost(HostName),
    /// No such zone.
    #[error("{0} is not served here; the configuration's dns.zones lists the zones that are")]
    UnknownZone(DnsName),
    /// The name is taken.
    #[error("{0} exists already; change it with `fourward host set`")]
    Exists(HostName),
    /// The name is taken, and an import may not replace what is there.
    #[error("{0} exists already; import with --replace to have it as the line says")]
    ExistsAlready(HostName),
    /// A line says that the name was removed.
    #[error(
        "{0} exists, and the line says that it was removed: `fourward host remove` does that, an import never does; or leave the line out"
    )]
    Alive(HostName),
    /// One of many.
    #[error("{reason}")]
    Entry {
        /// Which, from 0.
        at: usize,
        /// Why it is refused.
        reason: Box<Refused>,
    },
    /// The name is the gateway's.
    #[error("{0} is this gateway's own name (public.name); choose another for the host")]
    OwnName(DnsName),
    /// The name was somebody's before.
    #[error(
        "{host} was removed on {removed:.0}: whoever trusted that name would reach its new owner; if that is meant, add it with --reuse"
    )]
    Tombstone {
        /// The name.
        host: HostName,
        /// When it was removed.
        removed: Timestamp,
    },
    /// A setting does not fit.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The address may not be a home's.
    #[error(transparent)]
    Address(#[from] Forbidden),
    /// `address-from=static` with nothing to publish, or the other way round.
    #[error("{0}: address-from=static and address=… go together: give both or neither")]
    StaticAddress(HostName),
    /// An upstream is the only authority on the address.
    #[error("{0}: where DNS says where the home is, nobody else does: leave address, address-from and follows out, or take upstream back")]
    UpstreamElsewhere(HostName),
    /// An upstream is somebody else's name.
    #[error(
        "upstream {upstream} is {served}'s, which is served here, so that this server would ask itself; upstream= is for a name in somebody else's DNS"
    )]
    UpstreamHere {
        /// The name.
        upstream: DnsName,
        /// What it is in.
        served: DnsName,
    },
    /// Whom it follows is not known here.
    #[error("{host} follows {leader}, and there is no such host in {}: `fourward host list` shows those that are", host.zone())]
    NoLeader {
        /// The follower.
        host: HostName,
        /// Whom it follows, as given.
        leader: String,
    },
    /// One of the two settings of a follower.
    #[error("{0}: follows=HOST and suffix=… go together: give both or neither")]
    HalfFollower(HostName),
    /// A follower's address is its leader's affair.
    #[error(
        "{0}: a follower's address comes from the host that it follows: leave address and address-from out, or take follows and suffix back"
    )]
    FollowerElsewhere(HostName),
    /// A follower would be where no home may be.
    #[error("{host}, beside {leader}: {reason} (suffix=…, with the bits of the subnet that the device is in)")]
    FollowerAt {
        /// The follower.
        host: HostName,
        /// Whom it follows.
        leader: String,
        /// What is wrong with its address.
        reason: Forbidden,
    },
    /// A circle.
    #[error("{0} cannot follow itself; follows= names the host whose network it is in")]
    FollowsItself(HostName),
    /// A chain.
    #[error("{leader} follows {other} itself; follow {other} directly: both are in the same network")]
    LeaderFollows {
        /// Whom it follows.
        leader: HostName,
        /// Whom that one follows.
        other: String,
    },
    /// A chain, from its other end.
    #[error("{host} is followed by {followers}: it cannot follow another host itself; let them follow that one first")]
    Leads {
        /// The host.
        host: HostName,
        /// Who follows it.
        followers: String,
    },
    /// Somebody would be left behind.
    #[error("{host} is followed by {followers}: remove them first, or let them follow another host (follows=…)")]
    Followed {
        /// The host.
        host: HostName,
        /// Who follows it.
        followers: String,
    },
    /// A record may not stand where it would.
    #[error("record={record}: {reason}")]
    Record {
        /// The record.
        record: String,
        /// Why not.
        reason: String,
    },
    /// An alias is for a name of the user's own.
    #[error("alias {alias} is in {zone}, which is served here: an alias is a name in another domain that leads to the host by CNAME")]
    AliasInZone {
        /// The alias.
        alias: DnsName,
        /// The zone.
        zone: DnsName,
    },
    /// An alias may not be the gateway.
    #[error("alias {0} is this gateway's own name: connections to it would go round in a circle")]
    AliasOwn(DnsName),
    /// Two hosts cannot share an alias.
    #[error("alias {alias} already leads to {host}; take it off there first")]
    AliasTaken {
        /// The alias.
        alias: DnsName,
        /// Whose it is.
        host: HostName,
    },
    /// A port that this server needs.
    #[error("forward={forward}: {port} is this server's own, by its configuration; choose another port outside, like {}", elsewhere(.forward))]
    ForwardOwn {
        /// The forward.
        forward: Forward,
        /// The port.
        port: Service,
    },
    /// A port leads to one host.
    #[error("forward={forward}: {other} already leads to {host}; choose another port outside, or take it off there first")]
    ForwardTaken {
        /// The forward.
        forward: Forward,
        /// That of the other host.
        other: Forward,
        /// Whose it is.
        host: HostName,
    },
    /// The join string is not good here.
    #[error("the join string does not fit {0}: it was cut, altered or replaced by a newer one; `fourward host token` makes a new one")]
    WrongSecret(HostName),
    /// The join string was used.
    #[error("the join string for {0} was used already; it is good for one home, once: `fourward host token` makes a new one")]
    SpentSecret(HostName),
    /// The join string is too old.
    #[error("the join string for {host} ended on {expired:.0}; `fourward host token` makes a new one")]
    ExpiredSecret {
        /// The host.
        host: HostName,
        /// When it ended.
        expired: Timestamp,
    },
    /// A key speaks for one host.
    #[error("this key already speaks for {0}; an agent makes a new key for each join")]
    KeyTaken(HostName),
    /// A prefix is half an address, and the other half was never said.
    #[error(
        "{prefix} alone does not say where the host is, since nothing of its address is known yet: have that machine send its whole address \
         once (myipv6=ADDRESS); from then on the prefix is enough"
    )]
    PrefixAlone {
        /// The host.
        host: HostName,
        /// The prefix.
        prefix: Ipv6Net,
    },
    /// An address that nobody has cannot be reported.
    #[error("{0} is no address that anybody could be reached at")]
    NoAddress(std::net::IpAddr),
    /// The address has another authority.
    #[error(
        "the address of {0} is set by its owner (address-from=static), by updates (address-from=update), by DNS (upstream=…) or by whom it follows (follows=…), not by its agent"
    )]
    NotByLink(HostName),
    /// Another change came first.
    #[error("{0} changed while its update was judged; send it again")]
    Overtaken(HostName),
    /// Whoever proves a zone's apex gets certificates for every host in it.
    #[error("a TXT record at _acme-challenge.{0} would prove *.{0}, and so every host there: no host's credential sets it")]
    ApexChallenge(DnsName),
    /// The secrets are there already; new ones would lock every agent out.
    #[error("this server has an identity already")]
    Identified,
}

/// Where ports like those of `forward` are mostly free.
fn elsewhere(forward: &Forward) -> String {
    let (first, _) = forward.outside();
    let home = forward.ports().next().map_or(first, |(_, home)| home);
    format!("{}/{}:{home}", forward.protocol().word(), first.saturating_add(10_000))
}
