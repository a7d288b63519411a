//! Last words without secrets: what people paste into the wrong place is not repeated to logs and screens.
//!
//! Our own types never print a secret. An error that quotes an argument or a line of a file may: here such quotes are cut.

/// How a join string begins.
const JOIN: &str = "fw1.";

/// The shortest of our secrets, an update password, has 32 characters. No key of the configuration has so many, and most values have fewer.
const LONGEST_WORD: usize = 24;

/// Stands for what was cut.
const CUT: char = '…';

/// `text` without the join strings in it.
pub fn join_strings(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(JOIN) {
        let end = after.find(|c: char| !is_base64(c)).unwrap_or(after.len());
        let (secret, beyond) = after.split_at(end);
        clean.extend([before, JOIN]);
        clean.extend((!secret.is_empty()).then_some(CUT));
        rest = beyond;
    }
    clean + rest
}

/// `text` without words that are long enough for a secret.
pub fn long_words(text: &str) -> String {
    let between = |c: char| c.is_whitespace() || "\"'`,[]{}()=".contains(c);
    text.split_inclusive(between)
        .map(|part| {
            let word = part.trim_end_matches(between);
            if word.chars().count() < LONGEST_WORD {
                part.to_owned()
            } else {
                format!("{CUT}{}", part.get(word.len()..).unwrap_or_default())
            }
        })
        .collect()
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=_-".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_string_is_cut_wherever_it_stands() {
        assert_eq!(join_strings("\"fw1.eyJnYXRld2F5cyI6_-\" is no name, nor is fw1.abc"), "\"fw1.…\" is no name, nor is fw1.…");
        assert_eq!(join_strings("it begins with \"fw1.\"; copy it"), "it begins with \"fw1.\"; copy it");
        assert_eq!(join_strings("nothing"), "nothing");
    }

    #[test]
    fn long_words_are_cut_and_what_is_around_them_stays() {
        let line = "7 | password = \"0123456789abcdef0123456789abcdef\"\n  | ^^^^^^^^\nunknown field `password`, expected one of `external-account`";
        assert_eq!(long_words(line), line.replace("0123456789abcdef0123456789abcdef", "…"));
        assert_eq!(long_words("key=0123456789abcdef0123456789abcdef"), "key=…");
    }
}
