//! lighttpd's configuration as a flat run of settings and of the conditions around them.

use std::collections::BTreeMap;

use super::{Reader, below, folder};
use crate::text::decode;

const DEPTH_CAP: usize = 64;
const EVENTS_CAP: usize = 100_000;
const VALUES_CAP: usize = 1_000;
const NAMES_CAP: usize = 10_000;
const TEXT_CAP: usize = 8_192;
/// What all values may cost in memory, those that references copy counted each time; and what a text costs beside its
/// bytes.
const COST_CAP: usize = 16 << 20;
const VALUE_COST: usize = 64;

/// A text of a value, with its key where it is of a list that has them.
pub(crate) type Value = (Option<String>, String);

/// What a configuration says, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// `$HTTP["host"] == "x" {`: what is looked at (`HTTP.host`), how, and with what; none of a block without a condition.
    Open(Option<(String, &'static str, String)>),
    /// `}`.
    Close,
    /// `name = value`; or `+=`, which adds to what was before.
    Set(String, Vec<Value>),
}

struct State {
    /// The folder of the first file, from which all relative paths count.
    base: String,
    names: Names,
    events: Vec<Event>,
}

/// What single values names have, for those that refer to them.
struct Names {
    values: BTreeMap<String, String>,
    /// What further values may cost.
    left: usize,
}

impl Names {
    /// The text of a word or of one in quotes: of a name its value. None once the values cost too much.
    fn text(&mut self, token: &Token) -> Option<String> {
        let text = match token {
            Token::Text(text) => text,
            Token::Word(word) => self.values.get(word).unwrap_or(word),
            Token::Sign(_) => return None,
        };
        self.left = self.left.saturating_sub(text.len() + VALUE_COST);
        (self.left > 0).then(|| text.clone())
    }
}

/// Reads a configuration and what it includes. Each file's blocks are closed at its end, whatever it holds.
pub(crate) fn read(reader: &mut Reader<'_>, path: &str) -> Vec<Event> {
    let names = Names { values: BTreeMap::new(), left: COST_CAP };
    let mut state = State { base: folder(path).to_owned(), names, events: Vec::new() };
    reader.file(0, path, &mut |reader, bytes| parse(reader, bytes, &mut state));
    state.events
}

fn parse(reader: &mut Reader<'_>, bytes: &[u8], state: &mut State) {
    let mut tokens = Tokens { bytes, at: 0, line: 1, ahead: None };
    let (mut depth, mut passed) = (0_usize, 0_usize);
    while let Some(token) = tokens.next() {
        if state.events.len() >= EVENTS_CAP || state.names.left == 0 {
            reader.complain(tokens.line, "the configuration has too many settings or values");
            break;
        }
        let opened = match token {
            Token::Sign("}") if passed > 0 => {
                passed -= 1;
                continue;
            }
            Token::Sign("}") if depth == 0 => {
                reader.complain(tokens.line, "a block is closed that was not opened");
                continue;
            }
            Token::Sign("}") => {
                depth -= 1;
                state.events.push(Event::Close);
                continue;
            }
            Token::Sign("{") => None,
            Token::Sign("$") => match condition(&mut tokens, &mut state.names) {
                Some(condition) => Some(condition),
                None => continue,
            },
            Token::Word(name) => {
                statement(reader, &mut tokens, name, passed > 0, state);
                continue;
            }
            _ => continue,
        };
        if depth >= DEPTH_CAP || passed > 0 {
            if passed == 0 {
                reader.complain(tokens.line, "blocks are nested too deep");
            }
            passed += 1;
        } else {
            depth += 1;
            state.events.push(Event::Open(opened));
        }
    }
    if depth > 0 {
        reader.complain(tokens.line, "a block is not closed");
        state.events.extend(std::iter::repeat_n(Event::Close, depth));
    }
}

/// What follows a name: a file to include, or a value.
fn statement(reader: &mut Reader<'_>, tokens: &mut Tokens<'_>, name: String, is_passed: bool, state: &mut State) {
    let line = tokens.line;
    match name.as_str() {
        "include" => {
            let value = tokens.value(&mut state.names);
            if let [(None, pattern)] = value.as_slice()
                && !is_passed
            {
                let pattern = below(&state.base, pattern);
                reader.include(line, &pattern, &mut |reader, bytes| parse(reader, bytes, state));
            }
        }
        "include_shell" => {
            tokens.value(&mut state.names);
            reader.complain(line, "what a program prints is not read");
        }
        _ => {
            let Some(Token::Sign("=" | ":=" | "+=")) = tokens.peek() else { return };
            tokens.next();
            let value = tokens.value(&mut state.names);
            if is_passed {
                return;
            }
            if let [(None, text)] = value.as_slice()
                && state.names.values.len() < NAMES_CAP
            {
                state.names.values.insert(name.clone(), text.clone());
            }
            state.events.push(Event::Set(name, value));
        }
    }
}

/// What stands between `$` and `{`.
fn condition(tokens: &mut Tokens<'_>, names: &mut Names) -> Option<(String, &'static str, String)> {
    let Some(Token::Word(of)) = tokens.next() else { return None };
    let (Some(Token::Sign("[")), Some(Token::Text(field)), Some(Token::Sign("]"))) =
        (tokens.next(), tokens.next(), tokens.next())
    else {
        return None;
    };
    let Some(Token::Sign(how)) = tokens.next() else { return None };
    let (_, text) = tokens.value(names).into_iter().next()?;
    let Some(Token::Sign("{")) = tokens.next() else { return None };
    Some((format!("{of}.{field}"), how, text))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// In quotes.
    Text(String),
    Word(String),
    Sign(&'static str),
}

/// The longer ones first.
const SIGNS: [&str; 19] =
    ["+=", ":=", "=>", "==", "!=", "=~", "!~", "=^", "=$", "=", "+", "(", ")", "{", "}", "[", "]", ",", "$"];

struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
    ahead: Option<Token>,
}

impl Tokens<'_> {
    fn peek(&mut self) -> Option<&Token> {
        if self.ahead.is_none() {
            self.ahead = self.next();
        }
        self.ahead.as_ref()
    }

    fn next(&mut self) -> Option<Token> {
        if let Some(token) = self.ahead.take() {
            return Some(token);
        }
        loop {
            let rest = self.bytes.get(self.at..)?;
            let &first = rest.first()?;
            if first == b'#' {
                self.at += rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
            } else if first == b'"' {
                return Some(Token::Text(self.text()));
            } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(sign.as_bytes())) {
                self.at += sign.len();
                return Some(Token::Sign(sign));
            } else if is_word(first) {
                let length = rest.iter().position(|&byte| !is_word(byte)).unwrap_or(rest.len());
                self.at += length;
                return Some(Token::Word(shown(&rest[..length])));
            } else {
                self.line += usize::from(first == b'\n');
                self.at += 1;
            }
        }
    }

    fn text(&mut self) -> String {
        let mut text = Vec::new();
        self.at += 1;
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            self.line += usize::from(byte == b'\n');
            match (byte, self.bytes.get(self.at)) {
                (b'"', _) => break,
                (b'\\', Some(b'"')) => {}
                _ if text.len() < TEXT_CAP => text.push(byte),
                _ => {}
            }
            if byte == b'\\' && self.bytes.get(self.at) == Some(&b'"') {
                text.push(b'"');
                self.at += 1;
            }
        }
        shown(&text)
    }

    /// A value: texts that are joined by `+`, or lists that are. What is in lists of lists is left out.
    fn value(&mut self, names: &mut Names) -> Vec<Value> {
        let mut values: Vec<Value> = Vec::new();
        loop {
            match self.next() {
                Some(Token::Sign("(")) => self.list(names, &mut values),
                Some(token @ (Token::Text(_) | Token::Word(_))) => {
                    names.text(&token).into_iter().for_each(|text| join(&mut values, text));
                }
                other => {
                    self.ahead = other;
                    return values;
                }
            }
            if self.peek() != Some(&Token::Sign("+")) {
                return values;
            }
            self.next();
        }
    }

    fn list(&mut self, names: &mut Names, values: &mut Vec<Value>) {
        let (mut depth, mut key) = (1_usize, None);
        while let Some(token) = self.next() {
            match token {
                Token::Sign("(") => depth += 1,
                Token::Sign(")") => depth -= 1,
                Token::Text(_) | Token::Word(_) if depth > 1 => {}
                Token::Text(text) | Token::Word(text) if self.peek() == Some(&Token::Sign("=>")) => key = Some(text),
                token @ (Token::Text(_) | Token::Word(_)) if values.len() < VALUES_CAP => {
                    let key = key.take();
                    names.left = names.left.saturating_sub(key.as_ref().map_or(0, String::len));
                    values.extend(names.text(&token).map(|text| (key, text)));
                }
                Token::Sign(",") => key = None,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }
}

/// Joins a text to the one before it.
fn join(values: &mut Vec<Value>, text: String) {
    match values.as_mut_slice() {
        [(None, before)] => {
            before.push_str(&text);
            crate::text::cap(before, TEXT_CAP);
        }
        _ => values.push((None, text)),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn shown(bytes: &[u8]) -> String {
    decode(bytes).0.replace('\0', "\\x00")
}
