//! Reads a document element by element.

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};
use quick_xml::reader::Reader;

/// The maximum size of a document, in bytes.
pub(super) const MAX_BYTES: u64 = 100_000_000;
/// The maximum depth of elements. A plan has about six levels.
const MAX_DEPTH: usize = 32;

/// An element with its contents.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) line: u64,
    /// Its text, which is empty if it contains elements.
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// The first element with a name in it.
    pub(super) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All elements with a name in it.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of an element in it, without blanks around it. It is empty if there is no such element.
    pub(super) fn text(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| child.text.trim())
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.text(name).parse().ok()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), "1" | "true")
    }

    /// The day of a date, as YYYY-MM-DD.
    pub(super) fn day(&self, name: &str) -> Option<&str> {
        self.text(name).split('T').next().filter(|day| !day.is_empty())
    }
}

/// The reason why a document cannot be read, with its location.
#[derive(Debug, PartialEq)]
pub(super) struct Unreadable {
    pub(super) line: u64,
    pub(super) message: String,
}

/// Calls `each` with every element of the root and with every element inside one of those, and with the name of the parent.
pub(super) fn read(text: &str, root: &str, mut each: impl FnMut(&str, Element)) -> Result<(), Unreadable> {
    let mut reader = Reader::from_str(text);
    let (mut line, mut counted) = (1, 0);
    let mut stack: Vec<Element> = Vec::new();
    let mut seen_root = false;
    loop {
        let event = reader.read_event();
        let at = usize::try_from(reader.buffer_position()).unwrap_or(text.len()).clamp(counted, text.len());
        line += text.as_bytes()[counted..at].iter().filter(|byte| **byte == b'\n').count() as u64;
        counted = at;
        let unreadable = |message: String| Err(Unreadable { line, message });
        match event {
            Err(error) => return unreadable(format!("is not valid XML: {error}")),
            Ok(Event::Start(start)) => {
                let name = start.local_name().as_ref().to_owned();
                if stack.is_empty() && (seen_root || name != root) {
                    return unreadable(format!("is not a plan of MS Project: its root is {name:?}, not {root}"));
                }
                seen_root = true;
                if stack.len() == MAX_DEPTH {
                    return unreadable(format!("has more than {MAX_DEPTH} elements within each other"));
                }
                stack.push(Element { name, line, ..Element::default() });
            }
            Ok(Event::Empty(empty)) => {
                let name = empty.local_name().as_ref().to_owned();
                closed(&mut stack, Element { name, line, ..Element::default() }, &mut each);
            }
            Ok(Event::End(_)) => {
                if let Some(element) = stack.pop() {
                    closed(&mut stack, element, &mut each);
                }
            }
            Ok(Event::Text(found)) => add(&mut stack, &found.xml10_content()),
            Ok(Event::CData(found)) => add(&mut stack, &found.xml10_content()),
            Ok(Event::GeneralRef(reference)) => match resolved(&reference) {
                Some(text) => add(&mut stack, &text),
                None => return unreadable(format!("uses the entity &{};, which is refused", reference.into_inner())),
            },
            Ok(Event::DocType(_)) => return unreadable("has a DTD, which is refused; save it without".to_owned()),
            Ok(Event::Decl(declaration)) => {
                let encoding = declaration.encoding().and_then(Result::ok);
                if let Some(other) = encoding.filter(|encoding| !encoding.eq_ignore_ascii_case("utf-8")) {
                    return unreadable(format!("says that it is {other}; save it as UTF-8"));
                }
            }
            Ok(Event::Comment(_) | Event::PI(_)) => {}
            Ok(Event::Eof) => {
                return match stack.last() {
                    Some(open) => unreadable(format!("ends within <{}>; is the file cut off?", open.name)),
                    None if !seen_root => unreadable(format!("is not a plan of MS Project: it has no {root}")),
                    None => Ok(()),
                };
            }
        }
    }
}

fn add(stack: &mut [Element], text: &str) {
    if let Some(element) = stack.last_mut() {
        element.text.push_str(text);
    }
}

fn closed(stack: &mut [Element], mut element: Element, each: &mut impl FnMut(&str, Element)) {
    if !element.children.is_empty() {
        element.text.clear();
    }
    match stack {
        [] => {}
        [root] => each(&root.name, element),
        [_, list] if !list.name.is_empty() => each(&list.name, element),
        [.., parent] => parent.children.push(element),
    }
}

fn resolved(reference: &BytesRef<'_>) -> Option<String> {
    match reference.resolve_char_ref() {
        Ok(Some(sign)) => Some(sign.to_string()),
        Ok(None) => resolve_predefined_entity(&reference.xml10_content()).map(str::to_owned),
        Err(_) => None,
    }
}
