//! DynamoDB's expressions, as far as the product uses them. Anything else panics, because a table that guesses would give wrong
//! answers.

use std::ops::Deref;

use serde_json::{Map, Value};

/// An item in its form on the wire: `{"entity": {"S": "tasks#a"}, …}`.
pub(crate) type Item = Map<String, Value>;

/// A stored item with its JSON text.
#[derive(Debug)]
pub(crate) struct Stored {
    item: Item,
    pub(crate) text: String,
}

impl Stored {
    pub(crate) fn new(item: Item) -> Self {
        let text = serde_json::to_string(&item).expect("JSON");
        Self { item, text }
    }
}

impl Deref for Stored {
    type Target = Item;

    fn deref(&self) -> &Item {
        &self.item
    }
}

/// A list of conditions that are joined by AND.
#[derive(Debug, Default)]
pub(crate) struct Condition(Vec<Term>);

#[derive(Debug)]
enum Term {
    Exists(String, bool),
    BeginsWith(String, String),
    Compare(String, String, Value),
    Between(String, Value, Value),
}

/// The changes of `SET` and `REMOVE`.
#[derive(Debug)]
pub(crate) struct Change {
    set: Vec<(String, Value)>,
    remove: Vec<String>,
}

/// An expression's text with the values of its placeholders.
struct Reader<'a> {
    tokens: std::vec::IntoIter<String>,
    request: &'a Value,
    text: &'a str,
}

impl Condition {
    /// The condition that a request has under this name. A missing condition always holds.
    pub(crate) fn of(request: &Value, name: &str) -> Self {
        let Some(text) = request[name].as_str() else { return Self::default() };
        let mut reader = Reader::new(request, text);
        let mut terms = vec![reader.term()];
        while let Some(word) = reader.tokens.next() {
            assert_eq!(word, "AND", "not understood: {text}");
            terms.push(reader.term());
        }
        Self(terms)
    }

    /// Whether it holds for an item, or for its absence.
    pub(crate) fn holds(&self, item: Option<&Item>) -> bool {
        self.0.iter().all(|term| match term {
            Term::Exists(path, expected) => item.is_some_and(|item| item.contains_key(path)) == *expected,
            Term::BeginsWith(path, prefix) => {
                let text = item.and_then(|item| item.get(path)).and_then(|value| value["S"].as_str());
                text.is_some_and(|text| text.starts_with(prefix))
            }
            Term::Between(path, first, last) => item
                .and_then(|item| item.get(path))
                .is_some_and(|found| compare(found, first).is_ge() && compare(found, last).is_le()),
            Term::Compare(path, operator, value) => {
                let Some(found) = item.and_then(|item| item.get(path)) else { return false };
                let order = compare(found, value);
                match operator.as_str() {
                    "=" => order.is_eq(),
                    ">" => order.is_gt(),
                    ">=" => order.is_ge(),
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    other => panic!("operator {other}"),
                }
            }
        })
    }
}

impl Change {
    /// The update expression of a request.
    pub(crate) fn of(request: &Value) -> Self {
        let text = request["UpdateExpression"].as_str().expect("an update expression");
        let mut reader = Reader::new(request, text);
        let mut change = Self { set: vec![], remove: vec![] };
        let mut clause = reader.next();
        loop {
            let path = reader.path();
            match clause.as_str() {
                "SET" => {
                    reader.expect("=");
                    let value = reader.value();
                    change.set.push((path, value));
                }
                "REMOVE" => change.remove.push(path),
                other => panic!("not understood: {other} in {text}"),
            }
            match reader.tokens.next() {
                None => return change,
                Some(comma) if comma == "," => {}
                Some(next) => clause = next,
            }
        }
    }

    /// The item after the update.
    pub(crate) fn apply(&self, mut item: Item) -> Item {
        item.extend(self.set.iter().cloned());
        item.retain(|name, _| !self.remove.contains(name));
        item
    }
}

/// The names that a projection lists. None means all.
pub(crate) fn projection(request: &Value) -> Option<Vec<String>> {
    let text = request["ProjectionExpression"].as_str()?;
    let mut reader = Reader::new(request, text);
    let mut names = vec![reader.path()];
    while let Some(comma) = reader.tokens.next() {
        assert_eq!(comma, ",", "not understood: {text}");
        names.push(reader.path());
    }
    Some(names)
}

/// The order of two values of one type. Numbers are ordered by size.
pub(crate) fn compare(left: &Value, right: &Value) -> std::cmp::Ordering {
    if let (Some(left), Some(right)) = (left["N"].as_str(), right["N"].as_str()) {
        let number = |text: &str| text.parse::<i128>().expect("an integer");
        return number(left).cmp(&number(right));
    }
    match (left["S"].as_str(), right["S"].as_str()) {
        (Some(left), Some(right)) => left.cmp(right),
        _ => panic!("cannot compare {left} and {right}"),
    }
}

impl<'a> Reader<'a> {
    fn new(request: &'a Value, text: &'a str) -> Self {
        let mut tokens: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            let mut rest = word;
            while let Some(first) = rest.chars().next() {
                let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '#' | ':');
                let is_operator = |c: char| matches!(c, '=' | '<' | '>');
                let end = if is_word(first) {
                    rest.find(|c| !is_word(c))
                } else if is_operator(first) {
                    rest.find(|c| !is_operator(c))
                } else {
                    Some(1)
                };
                let (token, after) = rest.split_at(end.unwrap_or(rest.len()));
                tokens.push(token.to_owned());
                rest = after;
            }
        }
        Self { tokens: tokens.into_iter(), request, text }
    }

    fn next(&mut self) -> String {
        self.tokens.next().unwrap_or_else(|| panic!("ends early: {}", self.text))
    }

    fn expect(&mut self, token: &str) {
        assert_eq!(self.next(), token, "not understood: {}", self.text);
    }

    fn path(&mut self) -> String {
        let name = self.next();
        assert!(!name.starts_with(':'), "a path is expected: {}", self.text);
        if !name.starts_with('#') {
            return name;
        }
        self.request["ExpressionAttributeNames"][&name].as_str().expect("a name").to_owned()
    }

    fn value(&mut self) -> Value {
        let name = self.next();
        let value = &self.request["ExpressionAttributeValues"][&name];
        assert!(!value.is_null(), "{name} has no value: {}", self.text);
        value.clone()
    }

    fn term(&mut self) -> Term {
        let first = self.tokens.as_slice().first().cloned().unwrap_or_default();
        match first.as_str() {
            "attribute_exists" | "attribute_not_exists" => {
                self.next();
                self.expect("(");
                let path = self.path();
                self.expect(")");
                Term::Exists(path, first == "attribute_exists")
            }
            "begins_with" => {
                self.next();
                self.expect("(");
                let path = self.path();
                self.expect(",");
                let prefix = self.value()["S"].as_str().expect("a text").to_owned();
                self.expect(")");
                Term::BeginsWith(path, prefix)
            }
            "NOT" | "(" | "size" | "contains" => panic!("not understood: {}", self.text),
            _ => {
                let path = self.path();
                let operator = self.next();
                if operator == "BETWEEN" {
                    let first = self.value();
                    self.expect("AND");
                    return Term::Between(path, first, self.value());
                }
                Term::Compare(path, operator, self.value())
            }
        }
    }
}
