//! What the demo found out, for people, programs and browsers.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::clients::{FetchError, Fetched};

/// The way that a client's bytes took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Path {
    /// Through the gateway.
    Gateway,
    /// Through the Internet, past the gateway.
    Direct,
    /// Inside the home.
    Lan,
    /// Another way than any in the figure.
    Unknown,
    /// It got nothing.
    None,
}

/// One client's row.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    name: &'static str,
    path: Path,
    ok: bool,
    ms: Option<f64>,
    cut_off_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// The whole figure.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    clients: Vec<Row>,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    without_namespaces: Option<String>,
    #[serde(skip)]
    homes: Vec<String>,
    #[serde(skip)]
    gateway: String,
}

impl Row {
    /// The row of a client whose first fetch ended so; it was to take the path `expected`.
    pub(super) fn new(name: &'static str, expected: Path, fetched: Result<(Path, Fetched), FetchError>) -> Self {
        match fetched {
            Ok((path, fetched)) => {
                let ok = path == expected;
                let why = (!ok)
                    .then(|| format!("it reached {} as {}, which is not the figure's path", fetched.greeting.home, fetched.greeting.peer));
                Self { name, path, ok, ms: Some(milliseconds(fetched.took)), cut_off_ms: None, why }
            }
            Err(error) => Self { name, path: Path::None, ok: false, ms: None, cut_off_ms: None, why: Some(error.to_string()) },
        }
    }

    /// The same client, cut off by the renumbering for so long.
    pub(super) fn cut_off(&mut self, lasted: Result<Duration, FetchError>) {
        match lasted {
            Ok(lasted) => self.cut_off_ms = Some(milliseconds(lasted)),
            Err(error) => {
                self.ok = false;
                self.why.get_or_insert_with(|| format!("not back after the renumbering: {error}"));
            }
        }
    }
}

impl Report {
    /// The report on `clients`: the home's addresses, one after the other, and the gateway's.
    pub(super) fn new(clients: Vec<Row>, homes: Vec<String>, gateway: String, without_namespaces: Option<String>) -> Self {
        let ok = !clients.is_empty() && clients.iter().all(|row| row.ok);
        Self { clients, ok, without_namespaces, homes, gateway }
    }

    /// Whether all held.
    pub(super) fn ok(&self) -> bool {
        self.ok
    }

    /// As one line of JSON.
    pub(super) fn json(&self) -> String {
        // Numbers, texts and lists cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The figure and its table, as plain text.
    pub(super) fn text(&self) -> String {
        let mut text = self.drawing();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n {:<8} {:<9} {:>12}   cut off after renumbering", "client", "path", "fetched in");
        for row in &self.clients {
            let cell = |value: Option<f64>, none: &str| value.map_or_else(|| none.into(), |ms| format!("{ms:.1} ms"));
            let path = format!("{:?}", row.path).to_lowercase();
            let cut_off = cell(row.cut_off_ms, if self.without_namespaces.is_some() { "not tried" } else { "-" });
            let _ = writeln!(text, " {:<8} {:<9} {:>12}   {cut_off}", row.name, path, cell(row.ms, "-"));
            if let Some(why) = &row.why {
                let _ = writeln!(text, "          {why}");
            }
        }
        let verdict = if self.ok { "All held." } else { "Not all held." };
        let _ = writeln!(text, "\n{verdict}");
        text
    }

    /// The same as a page.
    pub(super) fn html(&self) -> String {
        let text = self.text().replace('&', "&amp;").replace('<', "&lt;");
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>fourward demo</title>\n<h1>fourward demo</h1>\n<pre>\n{text}</pre>\n"
        )
    }

    fn drawing(&self) -> String {
        let has = |name: &str| self.clients.iter().any(|row| row.name == name);
        let gateway = &self.gateway;
        let first = self.homes.first().map_or("", String::as_str);
        let shaft = "─".repeat(gateway.chars().count().saturating_add(13));
        let mut text = format!(" phone4 (IPv4 only) ──1──► gateway {gateway} ──2──► home {first}\n");
        let _ = writeln!(text, " phone6 (IPv6 only) ──3──{shaft}──► home");
        if has("laptop") {
            let _ = writeln!(text, " laptop (same LAN)  ──4──{shaft}──► home (never leaves)");
        }
        if let [old, new] = self.homes.as_slice() {
            let _ = writeln!(text, "\n The home's address changed from {old} to {new}.");
        }
        text
    }
}

fn milliseconds(duration: Duration) -> f64 {
    // Tenths: finer ones are noise.
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::home_service::Greeting;
    use tokio::time::Instant;

    fn fetched() -> Fetched {
        let address = "[2001:db8:6::6]:40000".parse().unwrap();
        let greeting = Greeting { peer: address, home: "[2001:db8:100:1::11]:443".parse().unwrap() };
        Fetched { greeting, own: address, took: Duration::from_micros(12_340), first_byte: Instant::now(), rest: 0 }
    }

    fn report(row: Row) -> Report {
        Report::new(vec![row], vec!["2001:db8:100:1::11".into()], "192.0.2.11".into(), None)
    }

    #[test]
    fn a_client_on_its_path_and_back_holds() {
        let mut row = Row::new("phone6", Path::Direct, Ok((Path::Direct, fetched())));
        row.cut_off(Ok(Duration::from_millis(150)));
        let report = report(row);
        assert!(report.ok());
        assert_eq!(report.json(), r#"{"clients":[{"name":"phone6","path":"direct","ok":true,"ms":12.3,"cut_off_ms":150.0}],"ok":true}"#);
    }

    #[test]
    fn a_client_on_another_path_does_not_hold() {
        let report = report(Row::new("phone6", Path::Direct, Ok((Path::Gateway, fetched()))));
        assert!(!report.ok());
        assert!(report.text().contains("not the figure's path"), "{}", report.text());
    }

    #[test]
    fn a_client_that_never_came_back_does_not_hold() {
        let mut row = Row::new("phone6", Path::Direct, Ok((Path::Direct, fetched())));
        row.cut_off(Err(FetchError::Late));
        assert!(!report(row).ok());
    }

    #[test]
    fn nobody_at_all_does_not_hold() {
        assert!(!Report::new(Vec::new(), Vec::new(), String::new(), None).ok());
    }

    #[test]
    fn a_page_shows_what_a_fault_said_and_not_as_markup() {
        let error = FetchError::Stranger { address: "[::1]:443".parse().unwrap(), start: "<script>".into() };
        let html = report(Row::new("phone6", Path::Direct, Err(error))).html();
        assert!(html.contains("&lt;script>"), "{html}");
    }
}
