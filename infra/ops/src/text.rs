//! Makes texts of a project safe to print on a terminal.
//!
//! Every text that somebody else has written goes through [`visible`] or [`one_line`] before it is printed for people, and every JSON
//! text through [`visible_json`].

use std::fmt::Write;

/// Whether a terminal would obey a character or not show it: controls, line separators, marks of the direction, and invisible
/// characters. The joiners that emoji and some scripts need stay.
fn is_unsafe(sign: char) -> bool {
    sign.is_control()
        || matches!(sign,
            '\u{ad}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with such characters made visible. An escape becomes ␛, and a change of direction becomes `<U+202E>`.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '\0'..='\u{1f}' => shown.extend(char::from_u32(0x2400 + u32::from(sign))),
            '\u{7f}' => shown.push('␡'),
            _ if is_unsafe(sign) => {
                let _ = write!(shown, "<U+{:04X}>", u32::from(sign));
            }
            _ => shown.push(sign),
        }
    }
    shown
}

/// [`visible`] for a text of several lines, which stay.
pub fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// The same JSON value as a text in which such characters are visible. Line breaks between values stay.
pub fn visible_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for sign in json.chars() {
        // Outside of strings, JSON has no other control characters.
        if is_unsafe(sign) && !matches!(sign, '\n' | '\r' | '\t') {
            for unit in sign.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(sign);
        }
    }
    shown
}

/// The text on one line, made [`visible`], with a maximum number of characters.
pub fn one_line(text: &str, most: usize) -> String {
    let shown = visible(text);
    if shown.chars().count() <= most {
        return shown;
    }
    shown.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_control_the_terminal() {
        assert_eq!(one_line("a\u{1b}[31m\nb", 80), "a␛[31m␊b");
        assert_eq!(visible("\u{9b}2J\u{7f}x\u{202e}txt\u{2066}\u{e0041}"), "<U+009B>2J␡x<U+202E>txt<U+2066><U+E0041>");
        assert_eq!(visible_lines("a\r\n\tb"), "a␍\n␉b");
        assert_eq!(visible("日本語 👷\u{200d}♀\u{fe0f} می\u{200c}خواهم"), "日本語 👷\u{200d}♀\u{fe0f} می\u{200c}خواهم");
        assert_eq!(one_line("äöü", 3), "äöü");
        assert_eq!(one_line("äöüß", 3), "äö…");
    }

    #[test]
    fn json_stays_the_same_value_and_cannot_control_the_terminal() {
        let text = "a\u{9b}b\u{202e}c\u{7f}\u{1b}\u{e0041}\n";
        let json = serde_json::to_string_pretty(&[text]).expect("JSON");
        let shown = visible_json(&json);
        assert!(shown.is_ascii(), "{shown}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&shown).expect("JSON"), [text]);
    }
}
