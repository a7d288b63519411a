//! How a report reads to programs.

use super::*;

#[test]
fn the_words_for_programs_do_not_change() {
    let words: Vec<String> = [Id::ZoneDelegation, Id::A, Id::Path6, Id::FirewallProviderDns].iter().map(ToString::to_string).collect();
    assert_eq!(words, ["zone-delegation", "a", "path6", "firewall-provider-dns"]);
    let json = serde_json::to_value(Report::of(&seen(View::Home))).expect("JSON");
    assert_eq!([&json["view"], &json["name"], &json["findings"][0]["id"]], ["home", "cloud.dyn.example.org", "zone-delegation"]);
}
