//! Texts of a project on somebody's terminal.

/// The text on one line, at most so many characters, and without what a terminal would take for orders.
pub fn one_line(text: &str, most: usize) -> String {
    let shown = |sign: char| if sign.is_control() { '␣' } else { sign };
    if text.chars().count() <= most {
        return text.chars().map(shown).collect();
    }
    text.chars().take(most - 1).map(shown).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_order_the_terminal_about() {
        assert_eq!(one_line("a\u{1b}[31m\nb", 80), "a␣[31m␣b");
        assert_eq!(one_line("äöü", 3), "äöü");
        assert_eq!(one_line("äöüß", 3), "äö…");
    }
}
