//! The shared secret of a cluster, and an honest estimate of how hard it is to guess. Bytes
//! flow in, a checked cookie flows out; it is never shown.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// The shared secret of a cluster. It is wiped from memory when dropped, and only
/// [`Cookie::reveal`] shows it.
pub struct Cookie(Zeroizing<Vec<u8>>);

/// The longest cookie, in bytes.
pub const COOKIE_MAX: usize = 1024;

/// Why bytes cannot be a cookie. The message never holds the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CookieError {
    /// There are no bytes, or only a line end.
    #[error("the cookie is empty; give one of 1 to {COOKIE_MAX} bytes")]
    Empty,
    /// It is longer than [`COOKIE_MAX`].
    #[error("the cookie has {0} bytes; give one of at most {COOKIE_MAX}")]
    TooLong(usize),
}

impl Cookie {
    /// Takes the cookie from a flag, a file or the environment. Removes one line end at the
    /// end, since editors and `echo` put one there.
    ///
    /// # Errors
    /// Nothing is left, or more than [`COOKIE_MAX`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CookieError> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        match bytes.len() {
            0 => Err(CookieError::Empty),
            len if len > COOKIE_MAX => Err(CookieError::TooLong(len)),
            _ => Ok(Self(Zeroizing::new(bytes.to_vec()))),
        }
    }

    /// A strong cookie: 160 bits, as 40 hex digits. The bytes must come from
    /// the operating system's generator.
    pub fn generate(mut random: [u8; 20]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = Vec::with_capacity(2 * random.len());
        for byte in random {
            text.push(HEX[usize::from(byte >> 4)]);
            text.push(HEX[usize::from(byte & 15)]);
        }
        random.zeroize();
        Self(Zeroizing::new(text))
    }

    /// The secret itself, to derive keys from it or to write it to the
    /// operator's 0600 file. It must not be logged, printed or sent.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// About how many bits an attacker who has recorded one datagram must guess to find the
    /// cookie. Below 80 the operator should be warned: no key derivation makes up for it.
    ///
    /// The estimate is low. A run of letters counts as words: people use some 8000 words (13
    /// bits), and each begun group of eight letters counts as one. Other characters count by
    /// their class. A character that repeats or continues the one before it (`aaa`, `456`)
    /// counts one bit.
    pub fn strength_bits(&self) -> f64 {
        const WORD: f64 = 13.0;
        let mut bits = 0.0;
        let mut word = Run::default();
        let mut before = None;
        for &byte in self.0.iter() {
            let continues = before.is_some_and(|b: u8| byte.abs_diff(b) <= 1);
            let worth = match byte {
                _ if continues => 1.0,
                b'a'..=b'z' => 4.7,
                b'A'..=b'Z' => 4.7,
                b'0'..=b'9' => 3.3,
                b' '..=b'~' => 4.0,
                _ => 6.0,
            };
            if byte.is_ascii_alphabetic() {
                word.letters += 1;
                word.bits += worth;
            } else {
                bits += word.end(WORD) + worth;
            }
            before = Some(byte);
        }
        bits + word.end(WORD)
    }
}

/// Letters without a break.
#[derive(Default)]
struct Run {
    letters: u32,
    bits: f64,
}

impl Run {
    /// Returns what the run is worth, and begins an empty one.
    fn end(&mut self, word: f64) -> f64 {
        let run = std::mem::take(self);
        run.bits.min(f64::from(run.letters.div_ceil(8)) * word)
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(secret)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(text: &str) -> f64 {
        Cookie::parse(text.as_bytes())
            .expect("a cookie")
            .strength_bits()
    }

    #[test]
    fn one_line_end_is_not_part_of_the_cookie() {
        for text in ["ace", "ace\n", "ace\r\n"] {
            assert_eq!(
                Cookie::parse(text.as_bytes()).expect("a cookie").reveal(),
                b"ace"
            );
        }
        assert_eq!(
            Cookie::parse(b"ace\n\n").expect("a cookie").reveal(),
            b"ace\n"
        );
    }

    #[test]
    fn an_empty_and_an_overlong_cookie_are_refused() {
        assert_eq!(Cookie::parse(b"\n").err(), Some(CookieError::Empty));
        assert_eq!(
            Cookie::parse(&[b'x'; 1025]).err(),
            Some(CookieError::TooLong(1025))
        );
    }

    #[test]
    fn cookies_that_people_think_up_are_weak() {
        for weak in [
            "ace",
            "password",
            "hunter2",
            "correct horse battery staple",
            "2024-12-24",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "01234567890123456789",
        ] {
            assert!(bits(weak) < 80.0, "{weak}: {}", bits(weak));
        }
    }

    #[test]
    fn a_long_passphrase_is_strong() {
        assert!(bits("tulip anchor maze velvet quartz bishop ember lagoon") >= 80.0);
    }

    #[test]
    fn nothing_shows_the_cookie() {
        let cookie = Cookie::parse(b"hunter2").expect("a cookie");
        assert!(!format!("{cookie:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn a_generated_cookie_is_strong(random: [u8; 20]) {
            // If all bytes are equal, they do not come from a generator.
            let distinct: std::collections::BTreeSet<u8> = random.into_iter().collect();
            prop_assume!(distinct.len() >= 15);
            prop_assert!(Cookie::generate(random).strength_bits() >= 80.0);
        }
    }
}
