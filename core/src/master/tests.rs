use std::collections::BTreeSet;

use super::*;
use crate::zone::tests::{params, state, with};

fn all(limit: usize) -> Vec<Vec<String>> {
    let cloud = with(
        "cloud",
        &[
            "record=TXT \"v=spf1 -all\" \"say \\\"hi\\\" \\007\"",
            "record+=MX 10 @",
            "record+=_x._tcp SRV 1 2 3 .",
            "wildcard=on",
            "caa=issue ca.org; a=b",
        ],
    );
    let alpn = with("nas", &["alpn=h2,http/1.1"]);
    let (state, params) = (state(&[cloud, alpn]), params());
    let view = ZoneView::new(&params.zones[0], &state, &params).expect("served");
    let mut pages = Vec::new();
    let mut from = Some(String::new());
    while let Some(next) = from {
        let page = page(&view, &next, limit, 100_000);
        from = page.next;
        pages.push(page.lines);
    }
    pages
}

#[test]
fn every_record_is_a_line_and_however_many_pages_they_are_the_same() {
    let lines = all(usize::MAX).concat();
    for line in [
        "dyn.example.org.\t60\tIN\tSOA\tgw.dyn.example.org. hostmaster.dyn.example.org. 2 14400 3600 604800 60",
        "dyn.example.org.\t60\tIN\tNS\tns.example.net.",
        "gw.dyn.example.org.\t60\tIN\tAAAA\t2001:db8:a::11",
        "cloud.dyn.example.org.\t60\tIN\tA\t192.0.2.11",
        "cloud.dyn.example.org.\t60\tIN\tTXT\t\"v=spf1 -all\" \"say \\\"hi\\\" \\007\"",
        "cloud.dyn.example.org.\t60\tIN\tMX\t10 cloud.dyn.example.org.",
        "_x._tcp.cloud.dyn.example.org.\t60\tIN\tSRV\t1 2 3 .",
        "*.cloud.dyn.example.org.\t60\tIN\tA\t192.0.2.11",
        "cloud.dyn.example.org.\t60\tIN\tCAA\t0 issue \"ca.org; a=b\"",
        "nas.dyn.example.org.\t60\tIN\tHTTPS\t1 . alpn=\"h2,http/1.1\"",
    ] {
        assert!(lines.iter().any(|other| other == line), "{line} is not in {lines:#?}");
    }
    assert!(lines[0].contains("\tSOA\t"), "a master file begins so");
    assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len());
    for limit in [1, 2, 4] {
        let pages = all(limit);
        assert!(pages.len() > 2 && pages.concat() == lines, "{limit}");
    }
}

#[test]
fn what_cannot_be_read_is_bytes() {
    let record = [&[0][..], &[0, 1, 0, 1, 0, 0, 0, 60, 0, 3, 1, 2, 3]].concat();
    assert_eq!(text("a.", &record), Some("a.\t60\tIN\tA\t\\# 3 010203".into()));
    let record = [&[0][..], &[1, 0, 0, 1, 0, 0, 0, 60, 0, 1, 255]].concat();
    assert_eq!(text("a.", &record), Some("a.\t60\tIN\tTYPE256\t\\# 1 FF".into()));
}
