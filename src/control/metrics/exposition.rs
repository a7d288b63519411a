//! What is told: counters that others keep, read at each scrape.
//!
//! Host names are labels, as far as the hosts exist; nothing that a client chose ever is. What `status` shows is read from the same places,
//! so the two agree.

use std::fmt;
use std::sync::Arc;

use fourward_core::answer::Transport;
use fourward_core::api::LinkStatus;
use fourward_core::host::Host;
use fourward_core::name::HostName;
use fourward_core::state::State;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;

use super::super::{Control, dyndns};
use super::process::Process;
use crate::dns::{self, Counters, RCODES, Transfers};
use crate::examination::link_status;
use crate::gateway::Counts;
use crate::link::Joins;

/// Hosts with series of their own, the first in the order of the store: more would cost a scraper more than they tell.
const HOSTS: usize = 10_000;

const TRANSPORTS: [(Transport, &str); 2] = [(Transport::Udp, "udp"), (Transport::Tcp, "tcp")];

const LINKS: [(LinkStatus, &str); 5] = [
    (LinkStatus::NotJoined, "not-joined"),
    (LinkStatus::Down, "down"),
    (LinkStatus::Up, "up"),
    (LinkStatus::Silent, "silent"),
    (LinkStatus::Conflict, "conflict"),
];

/// Who counts.
pub struct Sources {
    /// Hosts, links, store and gateway.
    pub control: Arc<Control>,
    /// The name server, if it runs.
    pub dns: Option<Counters>,
    /// Who gives zones to secondaries, if there are any.
    pub transfers: Option<Arc<Transfers>>,
    /// Updates by DNS, if there are keys.
    pub updates: Option<Arc<dns::Outcomes>>,
    /// What else runs with a gateway.
    pub gateway: Option<(Arc<Joins>, Arc<dyndns::Outcomes>)>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Collector for Sources {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        version.encode(page.0.encode_descriptor("fourward_build", "The version that runs.", None, MetricType::Info)?)?;
        if let Some(dns) = &self.dns {
            names(&mut page, dns)?;
        }
        if let Some(transfers) = &self.transfers {
            secondaries(&mut page, transfers)?;
        }
        if let Some(updates) = &self.updates {
            page.counters("fourward_dns_updates", "Updates by DNS itself, by what came of them.", "outcome", updates.counts())?;
        }
        if let Some((joins, updates)) = &self.gateway {
            self.connections(&mut page)?;
            page.counters("fourward_joins", "Requests of agents to join.", "outcome", joins.counts())?;
            page.counters("fourward_updates", "Updates by dyndns2, by the first word of the answer.", "outcome", updates.counts())?;
        }
        self.store(&mut page)?;
        self.hosts(&mut page)?;
        self.certificate(&mut page)?;
        process(&mut page)
    }
}

impl Sources {
    fn connections(&self, page: &mut Page<'_>) -> fmt::Result {
        let traffic = &self.control.traffic;
        let counts = traffic.counts();
        let Counts { open, total, to_homes, to_clients, silent, foreign, unknown, direct, away, denied, full, crowded, busy, .. } = counts;
        let Counts { flows, withheld, lost, .. } = counts;
        page.gauge("fourward_gateway_open_connections", "Connections that are open.", open)?;
        page.counter("fourward_gateway_connections", "Connections that were taken.", total)?;
        let asked = [("silent", silent), ("foreign", foreign), ("unknown", unknown), ("direct", direct)];
        let refused = [("away", away), ("denied", denied), ("full", full), ("crowded", crowded), ("busy", busy)];
        let refused = asked.into_iter().chain(refused);
        page.counters("fourward_gateway_refused", "Connections and flows that were not carried, by reason.", "reason", refused)?;
        page.gauge("fourward_gateway_flows", "Flows of UDP that are alive.", flows)?;
        let dropped = [("amplification", withheld), ("lost", lost)];
        page.counters("fourward_gateway_datagrams_dropped", "Datagrams of flows that were dropped, by reason.", "reason", dropped)?;
        let bytes = [("homes", to_homes), ("clients", to_clients)];
        page.counters("fourward_gateway_relayed_bytes", "Bytes relayed, by where they went.", "to", bytes)?;
        let dials = traffic.dials();
        page.histogram("fourward_gateway_dial_seconds", "How long it took to find a home, where it was found.", dials.took())?;
        page.counters("fourward_gateway_dial_failures", "Dials that found no home, by reason.", "reason", dials.failed())
    }

    fn certificate(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(shown) = &self.control.certificate else { return Ok(()) };
        let mut family = page.family(
            "fourward_certificate_expiry_timestamp_seconds",
            "Until when the certificate of the server's own name is good.",
            MetricType::Gauge,
        )?;
        gauge(&mut family, &[("name", self.control.server.public.name.as_str())], shown.not_after().as_second())
    }

    fn store(&self, page: &mut Page<'_>) -> fmt::Result {
        let meter = self.control.store.meter();
        page.counter("fourward_store_changes", "Changes that are on disk.", meter.committed())?;
        page.counter("fourward_store_refused", "Changes that did not fit the state or the policy.", meter.refused())?;
        page.histogram("fourward_store_commit_seconds", "How long commits took until they were on disk.", meter.took())?;
        let zones = self.control.zones(&self.control.store.snapshot());
        let mut family = page.family("fourward_zone_serial", "The version of a zone.", MetricType::Gauge)?;
        zones.iter().try_for_each(|zone| gauge(&mut family, &[("zone", zone.name.as_str())], i64::from(zone.serial)))
    }

    fn hosts(&self, page: &mut Page<'_>) -> fmt::Result {
        let (control, leases) = (&self.control, &self.control.leases);
        let state = control.store.snapshot();
        let mut links = LINKS.map(|(_, name)| (name, 0_u64));
        for (name, host) in state.hosts() {
            let status = link_status(leases, name, host);
            let at = LINKS.iter().position(|(known, _)| *known == status);
            at.and_then(|at| links.get_mut(at)).into_iter().for_each(|(_, count)| *count += 1);
        }
        page.gauge("fourward_hosts", "Hosts in the store.", links.iter().map(|(_, count)| count).sum())?;
        let mut family = page.family("fourward_links", "Hosts, by the state of their link.", MetricType::Gauge)?;
        links.iter().try_for_each(|(name, count)| gauge(&mut family, &[("state", *name)], i64::try_from(*count).unwrap_or(i64::MAX)))?;
        page.counter("fourward_echoes", "Answers of agents to a nonce.", leases.echoes())?;

        let up = "Whether the address of the host's home is known; of a linked home: whether its lease runs.";
        let mut family = page.family("fourward_host_up", up, MetricType::Gauge)?;
        self.each(&state, |label, name, host| gauge(&mut family, label, i64::from(self.is_up(&state, name, host))))?;
        let since = "Since when the address of a linked home is proven.";
        let mut family = page.family("fourward_host_proven_since_timestamp_seconds", since, MetricType::Gauge)?;
        self.each(&state, |label, _, host| host.proven.map_or(Ok(()), |proven| gauge(&mut family, label, proven.since.as_second())))?;
        let moves = "Addresses of the host that were published because its link proved them.";
        let mut family = page.family("fourward_host_moves", moves, MetricType::Counter)?;
        self.each(&state, |label, name, _| counter(&mut family, label, leases.history(name).moves))?;
        let losses = "Addresses of the host that were withdrawn because its lease ended.";
        let mut family = page.family("fourward_host_leases_lost", losses, MetricType::Counter)?;
        self.each(&state, |label, name, _| counter(&mut family, label, leases.history(name).losses))
    }

    /// Tells of each host, called as `status` calls it.
    fn each(&self, state: &State, mut tell: impl FnMut(&[(&str, &str)], &HostName, &Host) -> fmt::Result) -> fmt::Result {
        state.hosts().take(HOSTS).try_for_each(|(name, host)| tell(&[("host", &self.control.short(name))], name, host))
    }

    fn is_up(&self, state: &State, name: &HostName, host: &Host) -> bool {
        let (voucher, by) = state.voucher_of(name, host);
        if by.by_link() { self.control.leases.lease(&voucher).is_some() } else { state.home(name).is_some() }
    }
}

fn names(page: &mut Page<'_>, dns: &Counters) -> fmt::Result {
    let sums = TRANSPORTS.map(|(transport, name)| (name, dns.sums(transport)));
    page.counters("fourward_dns_queries", "Messages to the name server.", "transport", sums.map(|(name, sums)| (name, sums.queries)))?;
    let mut family = page.family("fourward_dns_answers", "Answers, by their code.", MetricType::Counter)?;
    for (transport, sums) in &sums {
        let codes = RCODES.iter().zip(sums.answers);
        codes.into_iter().try_for_each(|(code, count)| counter(&mut family, &[("transport", *transport), ("rcode", *code)], count))?;
    }
    let truncated = "Answers that did not fit and said to come back by TCP.";
    page.counters("fourward_dns_truncated", truncated, "transport", sums.map(|(name, sums)| (name, sums.truncated)))?;
    let silent = "Messages to which silence is the answer: they are no questions.";
    page.counters("fourward_dns_silent", silent, "transport", sums.map(|(name, sums)| (name, sums.silent)))?;
    let [(_, udp), (_, tcp)] = sums;
    page.counter("fourward_dns_dropped", "Answers that the kernel did not take.", udp.dropped)?;
    page.counter("fourward_dns_limited", "Answers by UDP that were held back or cut short: their network had too many.", udp.limited)?;
    page.counter("fourward_dns_turned_away", "TCP connections beyond the limit.", tcp.turned_away)
}

fn secondaries(page: &mut Page<'_>, transfers: &Transfers) -> fmt::Result {
    let meter = transfers.meter();
    page.counters("fourward_transfers", "Transfers of zones to secondaries, by what was given.", "kind", meter.given())?;
    page.counter("fourward_transfers_broken", "Transfers that broke off.", meter.broken())?;
    page.counter("fourward_transfers_bytes", "Bytes of all transfers.", meter.bytes())?;
    let names: Vec<String> = transfers.secondaries().iter().map(|secondary| secondary.address.to_string()).collect();
    let each = || names.iter().map(String::as_str).zip(meter.secondaries());
    let answered = "Messages of a new version that the secondary answered.";
    page.counters("fourward_notify_answered", answered, "secondary", each().map(|(name, told)| (name, told.answered())))?;
    let unanswered = "Messages of a new version that the secondary did not answer, or refused.";
    page.counters("fourward_notify_unanswered", unanswered, "secondary", each().map(|(name, told)| (name, told.unanswered())))?;
    let mut family =
        page.family("fourward_secondary_silent", "Whether the secondary has not answered for half a minute.", MetricType::Gauge)?;
    each().try_for_each(|(name, told)| gauge(&mut family, &[("secondary", name)], i64::from(told.is_silent())))
}

fn process(page: &mut Page<'_>) -> fmt::Result {
    let Process { resident, descriptors, started, processor } = Process::now();
    if let Some(bytes) = resident {
        page.gauge("process_resident_memory_bytes", "Resident memory.", bytes)?;
    }
    if let Some(open) = descriptors {
        page.gauge("process_open_fds", "Open file descriptors.", open)?;
    }
    if let Some(seconds) = started {
        let help = "When this process started, in seconds since 1970.";
        ConstGauge::new(seconds).encode(page.family("process_start_time_seconds", help, MetricType::Gauge)?)?;
    }
    if let Some(seconds) = processor {
        let help = "Processor time of this process.";
        ConstCounter::new(seconds).encode(page.family("process_cpu_seconds", help, MetricType::Counter)?)?;
    }
    Ok(())
}

/// The text, family by family. Counters get their `_total` from the library.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn family<'s>(&'s mut self, name: &'s str, help: &str, kind: MetricType) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstGauge::new(value).encode(self.family(name, help, MetricType::Gauge)?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstCounter::new(value).encode(self.family(name, help, MetricType::Counter)?)
    }

    fn counters<'v>(&mut self, name: &str, help: &str, label: &str, values: impl IntoIterator<Item = (&'v str, u64)>) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        values.into_iter().try_for_each(|(value, count)| counter(&mut family, &[(label, value)], count))
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        histogram.encode(self.family(name, help, MetricType::Histogram)?)
    }
}

fn counter(family: &mut MetricEncoder<'_>, labels: &[(&str, &str)], value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(labelled(family, &labels)?)
}

fn gauge(family: &mut MetricEncoder<'_>, labels: &[(&str, &str)], value: i64) -> fmt::Result {
    ConstGauge::new(value).encode(labelled(family, &labels)?)
}

fn labelled<'s>(family: &'s mut MetricEncoder<'_>, labels: &'s impl EncodeLabelSet) -> Result<MetricEncoder<'s>, fmt::Error> {
    family.encode_family(labels)
}
