//! Identifiers, checked once at the edge and never again.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// A text that is not a valid identifier, with the rule that it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(&'static str);

const ROW_ID_RULE: &str = "must be 1 to 64 of the characters A-Z, a-z, 0-9, _ and -";
const USER_ID_RULE: &str =
    "must be 1 to 255 characters, without control characters, invisible characters and text direction marks";
const CONNECTION_RULE: &str = "must be 1 to 128 visible ASCII characters without #";
const KEY_RULE: &str = "must be 1 to 255 visible ASCII characters";

/// Fits WatermelonDB's own random ids and UUIDs, needs no escaping in URLs, keys and JSON.
fn is_row_id(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() | (b == b'_') | (b == b'-');
    // The loop has no early exit, so the compiler makes it look at many bytes at once. A first pull checks thousands of
    // ids.
    (1..=64).contains(&text.len()) && text.bytes().fold(true, |all, b| all & allowed(b))
}

/// OpenID Connect allows 255 characters for a `sub`. As UTF-8 they fit into the 2,048 bytes of an index's key.
fn is_user_id(text: &str) -> bool {
    (1..=255).contains(&text.chars().count()) && !text.chars().any(|c| c.is_control() || is_unseen(c))
}

/// Whether a character is invisible or changes the text direction. With such characters, two ids can look the same in a list.
///
/// These are Unicode's format characters (Cf), its default ignorable code points, and its line and paragraph separators (Zl, Zp).
/// A test compares them with Unicode's own tables.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
        | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

fn is_key(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_connection_id(text: &str) -> bool {
    text.len() <= 128 && is_key(text) && !text.contains('#')
}

/// Checks the text during deserialization. Only then can a path's deserializer say which part is invalid.
struct AnyId<Id>(PhantomData<Id>);

impl<Id: FromStr<Err = InvalidId>> Visitor<'_> for AnyId<Id> {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $valid:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                if $valid(&text) { Ok(Self(text)) } else { Err(InvalidId($rule)) }
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(AnyId(PhantomData))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id_type! {
    /// A project's id: `[A-Za-z0-9_-]{1,64}`, given by the client or made by the server.
    ProjectId, is_row_id, ROW_ID_RULE
}
id_type! {
    /// A row's id, unique in its project and collection: `[A-Za-z0-9_-]{1,64}`.
    RowId, is_row_id, ROW_ID_RULE
}
id_type! {
    /// A user's id: the token's `sub` claim, 1 to 255 visible characters.
    UserId, is_user_id, USER_ID_RULE
}
id_type! {
    /// A client's unique key for one mutation, so that a repeated request is applied once: 1 to 255 visible ASCII characters.
    IdempotencyKey, is_key, KEY_RULE
}
id_type! {
    /// The id of an open WebSocket, given by the gateway: 1 to 128 visible ASCII characters without `#`.
    ConnectionId, is_connection_id, CONNECTION_RULE
}

impl RowId {
    /// A new id, ordered by the time it was made (UUIDv7).
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string())
    }
}

impl ProjectId {
    /// A new id, ordered by the time it was made (UUIDv7).
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The id of the project's own row, which is the project's id.
    pub fn row_id(&self) -> RowId {
        RowId(self.0.clone())
    }
}

/// The namespace of the ids of projects that are created with a key. Any fixed value does, but this one must never
/// change.
const PROJECTS: Uuid = Uuid::from_u128(0x9b0c_47e2_51d3_4f86_8e1a_60c7_d2ab_3f95);

/// The id of a project that is made with a key and without an id: UUIDv5 over caller and key, so that a repetition asks for
/// the same project.
///
/// No key contains a blank, so two pairs never meet.
pub fn keyed_project_id(caller: &UserId, key: &IdempotencyKey) -> ProjectId {
    ProjectId(Uuid::new_v5(&PROJECTS, format!("{key} {caller}").as_bytes()).to_string())
}

/// The namespace of membership ids. Any fixed value does, but this one must never change.
const MEMBERSHIPS: Uuid = Uuid::from_u128(0x2f6a_91c4_7d0e_4b1c_9a53_5e1b_c0d8_64f7);

/// The id of a user's membership in a project: UUIDv5 over both, so that authorising is one read by key.
///
/// A member who is added again gets the same id. No project id contains `/`, so two pairs never meet.
pub fn membership_id(project: &ProjectId, user: &UserId) -> RowId {
    RowId(Uuid::new_v5(&MEMBERSHIPS, format!("{project}/{user}").as_bytes()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_watermelondb_and_uuids_are_row_ids() {
        for id in ["bVvC2oXCRx4Ts0aL", "0198c8d5-6b1e-7cc0-8f0e-0d8f6b6a1c11", "_", "a-b_C9"] {
            assert_eq!(id.parse::<RowId>().map(String::from), Ok(id.to_owned()));
        }
    }

    #[test]
    fn slashes_blanks_nul_and_overlong_texts_are_no_row_ids() {
        let overlong = "x".repeat(65);
        for text in ["", "a/b", "a b", "a\0", "ä", "a#b", overlong.as_str()] {
            assert!(text.parse::<RowId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_gateways_ids_of_connections_are_connection_ids() {
        for id in ["L0SM9cOFvHcCIhw=", "0198c8d5-6b1e-7cc0-8f0e-0d8f6b6a1c11", &"x".repeat(128)] {
            assert!(id.parse::<ConnectionId>().is_ok(), "{id:?}");
        }
        for text in ["", "a b", "a#b", "ä", &"x".repeat(129)] {
            assert!(text.parse::<ConnectionId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_user_id_is_any_text_of_255_characters_that_can_be_seen() {
        for text in ["x", "auth0|5f7c", "Ünal Ğ", "משה", "😀", &"ä".repeat(255), &"😀".repeat(255)] {
            assert!(text.parse::<UserId>().is_ok(), "{text:?}");
        }
        for text in ["", "a\nb", "\u{7f}", &"ä".repeat(256), &format!("{}\n", "ä".repeat(200))] {
            assert!(text.parse::<UserId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_user_id_looks_like_no_other_one() {
        for c in
            ["\u{200b}", "\u{200d}", "\u{202e}", "\u{2066}", "\u{feff}", "\u{ad}", "\u{2028}", "\u{e0041}", "\u{fe0f}"]
        {
            for text in [format!("ann{c}"), format!("{c}ann"), format!("a{c}nn"), c.to_owned()] {
                assert!(text.parse::<UserId>().is_err(), "{text:?}");
            }
        }
    }

    #[test]
    fn the_characters_that_cannot_be_seen_are_those_of_unicodes_tables() {
        let class = r"[\p{Cf}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}]";
        let hir = regex_syntax::parse(class).expect("a class");
        let regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) = hir.kind() else {
            panic!("{hir:?}")
        };
        let unseen = |c| class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&c));
        let wrong: Vec<char> = (char::MIN..=char::MAX).filter(|c| is_unseen(*c) != unseen(*c)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn a_key_is_visible_ascii() {
        for key in ["x", "0198c8d5-6b1e-7cc0", "\"quoted\"", &"k".repeat(255)] {
            assert!(key.parse::<IdempotencyKey>().is_ok(), "{key:?}");
        }
        for key in ["", "a b", "ä", "a\n", &"k".repeat(256)] {
            assert!(key.parse::<IdempotencyKey>().is_err(), "{key:?}");
        }
    }

    #[test]
    fn a_project_made_with_a_key_has_one_id_for_each_caller_and_key() {
        let id = |caller: &str, key: &str| {
            keyed_project_id(&caller.parse().expect("a user"), &key.parse().expect("a key")).to_string()
        };
        assert_eq!(id("ann", "k"), id("ann", "k"));
        assert_ne!(id("ann", "k"), id("bob", "k"));
        assert_ne!(id("ann", "k"), id("ann", "l"));
        assert_ne!(id("b c", "a"), id("c", "a-b"));
    }

    #[test]
    fn a_membership_has_one_id_for_each_project_and_user() {
        let id = |p: &str, u: &str| membership_id(&p.parse().expect("project"), &u.parse().expect("user"));
        assert_eq!(id("p", "ann"), id("p", "ann"));
        assert_ne!(id("p", "ann"), id("p", "bob"));
        assert_ne!(id("p", "ann"), id("q", "ann"));
        assert_eq!(id("p", "ann").as_str(), "ebacdd80-e72a-5299-ac85-98f603204ccb", "ids on tables never change");
    }
}
