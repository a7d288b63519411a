//! Secrets, and where they are found.

use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

/// Shorter ones would be found by chance.
const SHORTEST: usize = 12;

/// A secret that must not be seen.
pub(crate) struct Canary {
    pub(crate) name: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Canary {
    /// A secret of these bytes; text is its UTF-8.
    pub(crate) fn new(name: &str, secret: impl AsRef<[u8]>) -> Self {
        let secret = secret.as_ref();
        assert!(secret.len() >= SHORTEST, "{name} is too short");
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let numbers = format!("{secret:?}");
        let mut forms = vec![
            ("plain", secret.to_vec()),
            ("hex", hex.to_uppercase().into_bytes()),
            ("hex", hex.into_bytes()),
            ("numbers", numbers.trim_matches(['[', ']']).as_bytes().to_vec()),
        ];
        for (form, alphabet) in [("base64", &STANDARD), ("base64url", &URL_SAFE)] {
            forms.extend((0..3).map(|shift| (form, base64(secret, alphabet, shift))));
        }
        Self { name: name.into(), forms }
    }

    /// In which form it stands in `output`, if it does.
    pub(crate) fn form_in(&self, output: &[u8]) -> Option<&'static str> {
        let stands = |form: &[u8]| output.windows(form.len()).any(|part| part == form);
        self.forms.iter().find(|(_, form)| stands(form)).map(|(name, _)| *name)
    }
}

/// What of `secret` looks the same in base64 whatever stands around it, where so many bytes modulo three stand before it.
fn base64(secret: &[u8], alphabet: &Alphabet, shift: usize) -> Vec<u8> {
    let text = GeneralPurpose::new(alphabet, NO_PAD).encode([&vec![0; shift][..], secret].concat());
    let whole = (shift + secret.len()) / 3 * 4;
    text.as_bytes()[[0, 2, 3][shift]..whole].to_vec()
}

#[test]
fn a_secret_is_found_in_each_form_and_wherever_it_stands() {
    let canary = Canary::new("a password", "correct horse battery");
    let engine = base64::engine::general_purpose::STANDARD;
    for before in ["", "a", "ab", "cloud:"] {
        let encoded = engine.encode(format!("{before}correct horse battery and more"));
        assert_eq!(canary.form_in(format!("Authorization: Basic {encoded}").as_bytes()), Some("base64"), "{before:?}");
    }
    assert_eq!(canary.form_in(b"the correct horse battery staple"), Some("plain"));
    assert_eq!(canary.form_in(b"636f727265637420686f7273652062617474657279"), Some("hex"));
    assert_eq!(canary.form_in(format!("{:?}", b"correct horse battery").as_bytes()), Some("numbers"));
    assert_eq!(canary.form_in(b"the correct horse"), None);
}
