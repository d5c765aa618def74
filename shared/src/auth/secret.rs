//! The check for secrets that anybody could guess.

use std::collections::HashSet;

/// Secrets that are printed somewhere for everybody to read: in this repository, and in the examples of jwt.io.
const KNOWN: [&str; 3] = [
    "local-stack-secret-that-everyone-knows",
    "a-string-secret-at-least-256-bits-long",
    "a-string-secret-at-least-512-bits-long-to-sign-with-HS512",
];
/// The minimum number of different characters in a secret. A secret of 32 random hexadecimal digits has about 14, and hardly ever
/// fewer than this.
const MIN_DISTINCT_BYTES: usize = 8;

/// The reason why a secret can be guessed, if there is one.
///
/// The rules are about texts that people made up, so a random text never matches.
pub(super) fn weakness(secret: &str) -> Option<&'static str> {
    let bytes = secret.as_bytes();
    let neighbours = || bytes.iter().zip(bytes.iter().skip(1));
    let steps: HashSet<u8> = neighbours().map(|(one, next)| next.wrapping_sub(*one)).collect();
    let repeats = |period: usize| bytes.iter().zip(bytes.iter().skip(period)).all(|(one, later)| one == later);
    if KNOWN.contains(&secret) {
        Some("everybody knows it")
    } else if bytes.iter().collect::<HashSet<_>>().len() < MIN_DISTINCT_BYTES {
        Some("it has fewer than 8 different characters")
    } else if (1..=bytes.len() * 2 / 3).any(repeats) {
        Some("it is one text over and over")
    } else if steps.len() < 4 {
        Some("its characters are in the order of the alphabet")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn made_up_and_printed_secrets_are_weak() {
        for secret in KNOWN {
            assert_eq!(weakness(secret), Some("everybody knows it"));
        }
        for secret in [
            "a".repeat(32),
            "ab1".repeat(20),
            "00112233".repeat(8),
            "0123456789abcdef".repeat(2),
            "changeme".repeat(4),
            "your-256-bit-secret-your-256-bit-secret".to_owned(),
            "correct-horse-battery-correct-horse-battery-corr".to_owned(),
            "abcdefghijklmnopqrstuvwxyz012345".to_owned(),
            "987654321zyxwvutsrqponmlkjihgfedcba".to_owned(),
            "ä".repeat(20),
        ] {
            assert!(weakness(&secret).is_some(), "{secret}");
        }
    }

    proptest! {
        #[test]
        fn random_secrets_are_not(bytes in any::<[u8; 16]>()) {
            let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            // One random secret in a hundred thousand has fewer different digits.
            prop_assume!(hexadecimal.chars().collect::<HashSet<_>>().len() >= MIN_DISTINCT_BYTES);
            prop_assert_eq!(weakness(&hexadecimal), None);
        }
    }
}
