//! What an authority that asks over HTTP (HTTP-01, RFC 8555 §8.3) is answered on our own name while an order runs.
//!
//! In memory only: an order that a restart cuts off is begun anew. Nobody can ask for more than what was put here, and no home answers for
//! our own name.

use std::sync::{Mutex, PoisonError};

/// Where authorities ask.
const PATH: &str = "/.well-known/acme-challenge/";

/// The tokens of the order that runs, with their answers.
#[derive(Default)]
pub struct Tokens(Mutex<Vec<(String, String)>>);

/// Whether `target` (path and query) is an authority's question.
pub fn is_challenge(target: &str) -> bool {
    target.starts_with(PATH)
}

impl Tokens {
    /// Answers for `token` from now on.
    pub fn put(&self, token: String, answer: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((token, answer));
    }

    /// Answers for none any more.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new();
    }

    /// The answer to `target`, if its token is known.
    pub fn answer(&self, target: &str) -> Option<String> {
        let asked = target.strip_prefix(PATH)?;
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().find(|(token, _)| token == asked).map(|(_, answer)| answer.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_token_is_answered_and_only_while_it_is_known() {
        let tokens = Tokens::default();
        assert_eq!(tokens.answer("/.well-known/acme-challenge/"), None);
        tokens.put("abc".into(), "abc.print".into());
        assert_eq!(tokens.answer("/.well-known/acme-challenge/abc").as_deref(), Some("abc.print"));
        for target in ["/.well-known/acme-challenge/ab", "/.well-known/acme-challenge/abc/", "/.well-known/acme-challenge/abc?x", "/abc"] {
            assert_eq!(tokens.answer(target), None, "{target}");
        }
        tokens.clear();
        assert_eq!(tokens.answer("/.well-known/acme-challenge/abc"), None);
    }
}
