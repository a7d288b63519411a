//! The words of a line of a master file (RFC 1035 §5.1): plain ones, and texts in quotes.

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// What it says, escapes undone.
    pub(super) bytes: Vec<u8>,
    /// Whether it stood in quotes, or something in it was escaped: it is text then, and no name, type or number.
    pub(super) in_quotes: bool,
}

impl Token {
    /// It as a plain word.
    pub(super) fn word(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok().filter(|_| !self.in_quotes)
    }
}

/// The words of `line`. `;` and brackets mean something else in a file, so outside quotes they are refused rather than misread.
pub(super) fn tokens(line: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut bytes = line.bytes().peekable();
    while let Some(first) = bytes.next() {
        if first.is_ascii_whitespace() {
            continue;
        }
        let in_quotes = first == b'"';
        let mut token = Token { bytes: Vec::new(), in_quotes };
        let mut next = if in_quotes { bytes.next() } else { Some(first) };
        loop {
            match next {
                Some(b'"') if in_quotes => break,
                None if in_quotes => return Err("a text has no quote at its end".into()),
                None => break,
                Some(byte) if !in_quotes && byte.is_ascii_whitespace() => break,
                Some(byte @ (b';' | b'(' | b')' | b'"')) if !in_quotes => {
                    return Err(format!("\"{}\" must stand in quotes: write the whole text like \"v=DMARC1; p=none\"", char::from(byte)));
                }
                Some(b'\\') => {
                    token.bytes.push(escaped(&mut bytes)?);
                    token.in_quotes = true;
                }
                Some(byte) if byte.is_ascii_control() => return Err("a control character stands in it: write it as \\DDD".into()),
                Some(byte) => token.bytes.push(byte),
            }
            next = bytes.next();
        }
        if in_quotes && bytes.peek().is_some_and(|after| !after.is_ascii_whitespace()) {
            return Err("a space belongs behind a text in quotes".into());
        }
        tokens.push(token);
    }
    Ok(tokens)
}

/// What stands behind a backslash: three decimal digits for any byte, else the character itself.
fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, String> {
    let bad = || "behind a backslash stands \\DDD with three digits up to 255, or the character that is meant".to_owned();
    let first = bytes.next().ok_or_else(bad)?;
    if !first.is_ascii_digit() {
        return if first.is_ascii_graphic() || first == b' ' { Ok(first) } else { Err(bad()) };
    }
    let digits: Vec<u8> = std::iter::once(first).chain(bytes.take(2)).collect();
    let text = std::str::from_utf8(&digits).ok().filter(|text| text.len() == 3 && text.bytes().all(|digit| digit.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or_else(bad)
}

/// `bytes` as a text in quotes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
    text.push('"');
    text
}
