//! What may be set, and what is refused.

use super::*;

fn edited(texts: &[&str]) -> Result<Settings, EditError> {
    let mut settings = Settings::default();
    for text in texts {
        settings.edit(&text.parse()?)?;
    }
    Ok(settings)
}

#[test]
fn lists_grow_and_shrink() {
    let settings = edited(&["alias=a.org,b.org", "alias+=C.org", "alias-=a.org"]).expect("settings");
    let names: Vec<_> = settings.alias.iter().map(DnsName::as_str).collect();
    assert_eq!(names, ["b.org", "c.org"]);
    assert!(edited(&["alias=a.org", "alias="]).expect("settings").alias.is_empty());
}

#[test]
fn what_is_not_served_yet_is_refused_by_name() {
    for key in NOT_YET {
        let error = edited(&[&format!("{key}=x")]).expect_err(key);
        assert!(error.to_string().contains("not yet") && error.to_string().contains(key), "{error}");
    }
    assert_eq!(edited(&["carrier=tunnel"]), Err(EditError::NotYet("carrier=tunnel".into())));
    assert!(matches!(edited(&["colour=red"]), Err(EditError::Unknown(_))));
}

#[test]
fn what_is_the_default_anyway_may_be_written_out() {
    let default = ["mode=passthrough", "via=auto", "carrier=auto", "proxy-protocol=none", "wildcard=off", "redirect=off", "hsts=off"];
    assert_eq!(edited(&default), Ok(Settings::default()));
}

#[test]
fn ports_at_home_are_a_list_of_two_keys() {
    let ports = |texts: &[&str]| edited(texts).map(|settings| (settings.home_port.tls, settings.home_port.http));
    assert_eq!(ports(&["home-port=tls=8443,http=8080"]), Ok((Some(8443), Some(8080))));
    assert_eq!(ports(&["home-port=tls=8443", "home-port+=http=8080", "home-port-=tls"]), Ok((None, Some(8080))));
    assert_eq!(ports(&["home-port=tls=8443", "home-port="]), Ok((None, None)));
    assert!(matches!(edited(&["home-port=quic=8443"]), Err(EditError::NotYet(_))));
    for text in ["home-port=8443", "home-port=tls=0", "home-port=tls=x", "home-port=ssh=22", "home-port+=tls"] {
        assert!(matches!(edited(&[text]), Err(EditError::Value { .. })), "{text}");
    }
}

#[test]
fn who_is_denied_is_not_allowed_again() {
    let settings = edited(&["allow=198.51.100.0/24,2001:db8:6::/48", "deny=198.51.100.7"]).expect("settings");
    let admits = |text: &str| settings.admits(text.parse().expect("an address"));
    assert!(admits("198.51.100.4") && admits("::ffff:198.51.100.4") && admits("2001:db8:6::6"));
    assert!(!admits("198.51.100.7") && !admits("::ffff:198.51.100.7") && !admits("203.0.113.1") && !admits("2001:db8:7::1"));
    let only_denied = edited(&["deny=::/0"]).expect("settings");
    assert!(only_denied.admits("192.0.2.1".parse().expect("v4")) && !only_denied.admits("2001:db8::1".parse().expect("v6")));
}

#[test]
fn what_holds_at_the_gateway_alone_is_said() {
    let remarks = |texts: &[&str]| edited(texts).expect("settings").remarks().len();
    assert_eq!(remarks(&[]), 0);
    assert_eq!(remarks(&["home-port=tls=8443", "allow=192.0.2.0/24", "max-connections=5", "redirect=on"]), 3);
    assert_eq!(remarks(&["home-port=tls=8443", "via=gateway", "deny=192.0.2.0/24"]), 0);
    assert_eq!(remarks(&["proxy-protocol=v2"]), 1, "IPv6 clients come without it");
    assert_eq!(remarks(&["proxy-protocol=v2", "home-port=tls=8443"]), 1, "which is home-port's");
    assert_eq!(remarks(&["proxy-protocol=v1", "via=gateway"]), 0);
}

#[test]
fn a_refused_value_says_what_was_expected() {
    for text in [
        "ttl=0",
        "ttl=x",
        "address=192.0.2.1",
        "alias=a b",
        "address-from=dns",
        "alias",
        "ttl+=5",
        "via=x",
        "wildcard=yes",
        "allow=x",
        "deny=192.0.2.1/24",
        "max-connections=0",
        "proxy-protocol=v3",
        "proxy-protocol+=v2",
    ] {
        assert!(edited(&[text]).is_err(), "{text}");
    }
}

#[test]
fn an_edit_survives_its_text() {
    for text in ["alias+=a.org", "alias-=a.org", "ttl=60"] {
        let edit: Edit = text.parse().expect(text);
        assert_eq!(edit.to_string(), text);
    }
}

#[test]
fn records_and_authorities_are_lists_of_one_value_each() {
    let written = |texts: &[&str]| edited(texts).map(|settings| settings.edits().iter().map(ToString::to_string).collect::<Vec<_>>());
    let both = ["record=TXT \"a, b\"", "record+=MX 1 @", "caa=issue a.org; validationmethods=dns-01,http-01", "caa+=issuewild ;"];
    let all = ["caa+=issue a.org; validationmethods=dns-01,http-01", "caa+=issuewild ;", "record+=MX 1 @", "record+=TXT \"a, b\""];
    let mut sorted = written(&both).expect("settings");
    sorted.sort();
    assert_eq!(sorted, all);
    assert_eq!(written(&["record=TXT x", "record=MX 1 @"]), Ok(vec!["record+=MX 1 @".into()]), "= is all of them");
    assert_eq!(written(&["record=TXT x", "record-=txt \"x\""]), Ok(vec![]));
    assert_eq!(written(&["record=TXT x", "record=", "caa=issue a.org", "caa="]), Ok(vec![]));
    assert_eq!(written(&["record=TXT x", "record-=TXT y"]), Ok(vec!["record+=TXT \"x\"".into()]));
}

#[test]
fn a_host_has_so_many_records_and_bytes_in_them() {
    let many = |count: usize, text: &str| {
        let texts: Vec<String> = (0..count).map(|at| format!("record+=n{at} TXT {text}")).collect();
        edited(&texts.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert!(many(RECORD_LIMIT, "x").is_ok());
    let refusal = many(RECORD_LIMIT + 1, "x").expect_err("too many").to_string();
    assert!(refusal.contains("33 records; 32 is the most"), "{refusal}");
    assert!(many(4, &"x".repeat(1_000)).is_ok());
    let refusal = many(5, &"x".repeat(1_000)).expect_err("too much").to_string();
    assert!(refusal.contains("4096 is the most"), "{refusal}");
    let texts: Vec<String> = (0..=CAA_LIMIT).map(|at| format!("caa+=issue a{at}.org")).collect();
    assert!(edited(&texts.iter().map(String::as_str).collect::<Vec<_>>()).is_err());
}

#[test]
fn protocols_and_leaders_are_words() {
    let settings =
        edited(&["alpn=http/1.1,h2", "alpn+=h3", "alpn-=http/1.1", "follows=Cloud", "suffix=mac:00:11:22:33:44:55"]).expect("settings");
    assert_eq!(settings.alpn.iter().map(|alpn| alpn.word()).collect::<Vec<_>>(), ["h3", "h2"]);
    assert_eq!(
        settings.following().map(|(leader, suffix)| (leader.to_owned(), suffix.to_string())),
        Some(("cloud".into(), "::211:22ff:fe33:4455".into()))
    );
    assert_eq!(settings.remarks().len(), 2, "h3 and the join line");
    assert_eq!(edited(&["follows=@"]).expect("settings").follows.as_deref(), Some("@"));
    for text in ["alpn=h2c", "alpn=H2", "follows=a b", "suffix=22", "follows+=a"] {
        assert!(edited(&[text]).is_err(), "{text}");
    }
}
