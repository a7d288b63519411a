//! What hosts' owners set, followers, and several zones, as the tools read it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn records_that_owners_set_are_what_every_tool_reads() {
    let server = Server::on_loopback();
    let account = "issue letsencrypt.org; accounturi=https://acme.test/acct/1; validationmethods=dns-01";
    let mine =
        ["record=TXT \"v=spf1 -all\"", "record+=MX 10 mail.example.org.", "record+=_xmpp._tcp SRV 0 5 5222 @", "alpn=h3,h2", "wildcard=on"];
    server.set("cloud", &mine);
    server.set("cloud", &[&format!("caa={account}"), &format!("record+=long TXT \"{}\"", "x".repeat(2_000))]);
    for transport in ["+notcp", "+tcp"] {
        let short = |what: &str| server.short(&format!("{transport} {what}"));
        assert_eq!(short("cloud.dyn.example.org TXT"), ["\"v=spf1 -all\""]);
        assert_eq!(short("cloud.dyn.example.org MX"), ["10 mail.example.org."]);
        assert_eq!(short("_xmpp._tcp.cloud.dyn.example.org SRV"), ["0 5 5222 cloud.dyn.example.org."]);
        assert_eq!(short("cloud.dyn.example.org CAA"), [account.replacen("issue ", "0 issue \"", 1) + "\""]);
        for everyones in ["cloud", "www.cloud"] {
            assert_eq!(short(&format!("{everyones}.dyn.example.org HTTPS")), ["1 . alpn=\"h3,h2\""]);
        }
        assert_eq!(short("long.cloud.dyn.example.org TXT").concat().matches('x').count(), 2_000, "what does not fit comes by TCP");
    }
    let kdig = |what: &str| server.tool("kdig", &format!("+norec +short {what}")).trim().to_owned();
    assert_eq!(kdig("cloud.dyn.example.org CAA"), account.replacen("issue ", "0 issue \"", 1) + "\"");
    assert_eq!(kdig("_xmpp._tcp.cloud.dyn.example.org SRV"), "0 5 5222 cloud.dyn.example.org.");
    assert_eq!(kdig("cloud.dyn.example.org HTTPS"), "1 . alpn=h3,h2");
    let soa = "dyn.example.org.\t60\tIN\tSOA";
    for nodata in [
        "_tcp.cloud.dyn.example.org SRV",
        "away.dyn.example.org HTTPS",
        "cloud-ip6only.dyn.example.org HTTPS",
        "www.cloud.dyn.example.org CAA",
    ] {
        holds(&server.dig(nodata), &["status: NOERROR", "flags: qr aa;", "ANSWER: 0, AUTHORITY: 1", soa]);
    }
    holds(&server.dig("x._tcp.cloud.dyn.example.org SRV"), &["status: NXDOMAIN"]);
    server.set("cloud", &["alpn=", "record-=MX 10 mail.example.org."]);
    holds(&server.dig("cloud.dyn.example.org HTTPS"), &["status: NOERROR", "ANSWER: 0"]);
    assert!(server.short("cloud.dyn.example.org MX").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_move_with_their_leader_in_one_version() {
    let server = Server::on_loopback();
    server.set("away", &["follows=cloud", "suffix=::22"]);
    let version =
        || server.short("dyn.example.org SOA").concat().split(' ').nth(2).and_then(|serial| serial.parse::<u32>().ok()).expect("a serial");
    let before = version();
    for (leader, follower) in [("2001:db8:7::1", "2001:db8:7::22"), ("2001:db8:8::1", "2001:db8:8::22")] {
        server.move_to(leader);
        assert_eq!(server.short("away.dyn.example.org AAAA"), [follower]);
        assert_eq!(server.short("away-ip6only.dyn.example.org AAAA"), [follower]);
    }
    assert_eq!(version(), before + 2);
    server.apply(&Change::Withdraw { host: host("cloud"), address: "2001:db8:8::1".parse().expect("v6") });
    holds(&server.dig("away.dyn.example.org AAAA"), &["status: NOERROR", "ANSWER: 0"]);
    assert_eq!((server.short("away.dyn.example.org A"), version()), (vec!["192.0.2.11".to_owned()], before + 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_zones_are_served_each_with_its_own_apex_host() {
    let server = Server::on_loopback();
    let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
    server.apply(&Change::Serve { zone: name(OTHER), apex: Digest([0; 32]), at: Timestamp::from_second(7_000).expect("a time") });
    for (zone, address) in [(ZONE, "2001:db8:5::1"), (OTHER, "2001:db8:6::1")] {
        let apex = HostName::new("@", name(zone)).expect("a host");
        let edits =
            ["wildcard=on", "record=_dmarc TXT x", "caa=issue ca.org", "alpn=h2"].map(|edit| edit.parse().expect("an edit")).to_vec();
        server.apply(&Change::Add { host: apex.clone(), edits, join, update: Digest([2; 32]), reuse: false });
        server.apply(&Change::Move { host: apex, address: address.parse().expect("v6"), at: Timestamp::UNIX_EPOCH });
    }
    for (zone, address) in [(ZONE, "2001:db8:5::1"), (OTHER, "2001:db8:6::1")] {
        for left in ["", "ip6only.", "www.", "a.b."] {
            assert_eq!(server.short(&format!("{left}{zone} AAAA")), [address], "{left}{zone}");
        }
        assert_eq!(server.short(&format!("_dmarc.{zone} TXT")), ["\"x\""]);
        assert_eq!(server.short(&format!("{zone} CAA")), ["0 issue \"ca.org\""]);
        assert_eq!(server.short(&format!("{zone} HTTPS")), ["1 . alpn=\"h2\""]);
        holds(&server.dig(&format!("ip6only.{zone} A")), &["status: NOERROR", "ANSWER: 0", &format!("hostmaster.{zone}.")]);
    }
    assert_eq!(server.short("home.test SOA"), ["gw.dyn.example.org. hostmaster.home.test. 7002 14400 3600 604800 60"]);
    holds(&server.dig("cloud-ip6only.home.test A"), &["status: NOERROR", "192.0.2.11"]);
}
