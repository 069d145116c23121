//! Caddy's own format as a flat run of directives: a line each, with blocks in braces at the ends of lines.

use std::collections::BTreeMap;

use super::nginx::Event;
use super::{Reader, below, folder};
use crate::text::decode;

const DEPTH_CAP: usize = 64;
const TOO_MUCH: &str = "the configuration has too many directives or words";
/// The most directives of one configuration, those of snippets counted wherever they are imported.
const DIRECTIVES_CAP: usize = 100_000;
const WORD_CAP: usize = 8_192;
const WORDS_CAP: usize = 1_000;
/// What all words may cost in memory, those of snippets counted wherever they are imported; and what one costs beside
/// its bytes.
const COST_CAP: usize = 16 << 20;
const WORD_COST: usize = 48;

#[derive(Default)]
struct State {
    events: Vec<Event>,
    /// Blocks that are defined once, `(name) { … }`, to be imported by name.
    snippets: BTreeMap<String, Vec<Event>>,
    made: usize,
    cost: usize,
}

impl State {
    fn is_full(&self) -> bool {
        self.made >= DIRECTIVES_CAP || self.cost >= COST_CAP
    }
}

/// Reads a configuration and what it imports. Each file's blocks are closed at its end, whatever it holds. Of placeholders
/// for the environment the default counts.
pub(crate) fn read(reader: &mut Reader<'_>, path: &str) -> Vec<Event> {
    let mut state = State::default();
    reader.file(0, path, &mut |reader, bytes| parse(reader, bytes, &mut state));
    state.events
}

fn parse(reader: &mut Reader<'_>, bytes: &[u8], state: &mut State) {
    let mut lines = Lines { bytes, at: 0, line: 1 };
    let (mut depth, mut passed) = (0_usize, 0_usize);
    // The snippet that is being defined, and where its events begin.
    let mut snippet: Option<(String, usize)> = None;
    let mut begun: Vec<String> = Vec::new();
    while let Some((number, mut words, opens)) = lines.next() {
        if state.is_full() {
            reader.complain(number, TOO_MUCH);
            break;
        }
        state.made += 1;
        state.cost += cost(&words);
        let closes = words.len() == 1 && words[0] == "}" && !opens;
        match (closes, passed) {
            (true, 1..) => passed -= 1,
            (true, 0) if depth == 0 => reader.complain(number, "a block is closed that was not opened"),
            (true, 0) => {
                depth -= 1;
                state.events.push(Event::Close);
                if depth == 0
                    && let Some((name, start)) = snippet.take()
                {
                    // Without its own opening and closing.
                    let mut events = state.events.split_off(start);
                    events.pop();
                    events.remove(0);
                    state.snippets.insert(name, events);
                }
            }
            (false, 1..) => passed += usize::from(opens),
            (false, 0) => {
                // Addresses may go on over lines.
                if depth == 0 && !opens && words.last().is_some_and(|word| word.ends_with(',')) {
                    begun.append(&mut words);
                    begun.truncate(WORDS_CAP);
                    continue;
                }
                if !begun.is_empty() {
                    begun.append(&mut words);
                    words = std::mem::take(&mut begun);
                }
                if opens && depth >= DEPTH_CAP {
                    reader.complain(number, "blocks are nested too deep");
                    passed = 1;
                } else if opens {
                    if depth == 0 && words.len() == 1 && words[0].starts_with('(') && words[0].ends_with(')') {
                        snippet = Some((words[0].trim_matches(['(', ')']).to_owned(), state.events.len()));
                    }
                    depth += 1;
                    state.events.push(Event::Open(words));
                } else if words.len() > 1 && words[0] == "import" {
                    import(reader, number, &words[1..], state);
                } else {
                    state.events.push(Event::Simple(words));
                }
            }
        }
    }
    if depth > 0 {
        reader.complain(lines.line, "a block is not closed");
        state.events.extend(std::iter::repeat_n(Event::Close, depth));
    }
}

/// Imports a snippet with its arguments, or files.
fn import(reader: &mut Reader<'_>, number: usize, words: &[String], state: &mut State) {
    let Some((name, arguments)) = words.split_first() else { return };
    let Some(snippet) = state.snippets.get(name) else {
        let pattern = below(folder(reader.current()), name);
        return reader.include(number, &pattern, &mut |reader, bytes| parse(reader, bytes, state));
    };
    state.made += snippet.len();
    let mut events = Vec::new();
    for event in snippet {
        if state.is_full() {
            break;
        }
        let mut filled = |words: &[String]| {
            let words: Vec<String> = words.iter().map(|word| fill(word, arguments)).collect();
            state.cost += cost(&words);
            words
        };
        events.push(match event {
            Event::Open(words) => Event::Open(filled(words)),
            Event::Simple(words) => Event::Simple(filled(words)),
            Event::Close => Event::Close,
        });
    }
    // One that was begun would leave its blocks open.
    if events.len() < snippet.len() {
        return reader.complain(number, TOO_MUCH);
    }
    state.events.extend(events);
}

fn cost(words: &[String]) -> usize {
    words.iter().map(|word| word.len() + WORD_COST).sum()
}

/// Puts the arguments of an import in; what they hold themselves is not looked at again.
fn fill(word: &str, arguments: &[String]) -> String {
    let (mut out, mut rest) = (String::new(), word);
    while out.len() < WORD_CAP
        && let Some(at) = rest.find("{args")
        && let Some(length) = rest[at..].find('}')
    {
        let (whole, after) = rest[at..].split_at(length + 1);
        let name = &whole["{args".len()..length];
        let number = name.strip_prefix('.').or_else(|| name.strip_prefix('[')?.strip_suffix(']'));
        let argument = number.and_then(|number| arguments.get(number.parse::<usize>().ok()?));
        out.push_str(&rest[..at]);
        out.push_str(argument.map_or(whole, String::as_str));
        rest = after;
    }
    out.push_str(rest);
    crate::text::cap(&mut out, WORD_CAP);
    out
}

/// Puts the defaults of `{$NAME:default}` in; names without one stay.
fn resolved(word: &str) -> String {
    let (mut out, mut rest) = (String::new(), word);
    while let Some(at) = rest.find("{$") {
        let Some(end) = rest[at..].find('}') else { break };
        let (name, whole) = (&rest[at + 2..at + end], &rest[at..=at + end]);
        out.push_str(&rest[..at]);
        out.push_str(name.split_once(':').map_or(whole, |(_, default)| default));
        rest = &rest[at + end + 1..];
    }
    out + rest
}

struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// The next line that holds words, with its number, and whether it opens a block.
    fn next(&mut self) -> Option<(usize, Vec<String>, bool)> {
        let (mut words, mut number, mut opens) = (Vec::new(), self.line, false);
        loop {
            match self.bytes.get(self.at) {
                Some(b'\n') => {
                    self.advance();
                    if !words.is_empty() || opens {
                        return Some((number, words, opens));
                    }
                }
                None => return (!words.is_empty() || opens).then_some((number, words, opens)),
                Some(byte) if byte.is_ascii_whitespace() => self.advance(),
                // The line goes on with the next.
                Some(b'\\') if self.bytes[self.at + 1..].starts_with(b"\n") => (0..2).for_each(|_| self.advance()),
                Some(b'#') => {
                    while self.bytes.get(self.at).is_some_and(|byte| *byte != b'\n') {
                        self.at += 1
                    }
                }
                Some(_) => {
                    if words.is_empty() {
                        number = self.line;
                    }
                    let (word, is_quoted) = self.word();
                    opens = word == "{" && !is_quoted;
                    if !opens && words.len() < WORDS_CAP {
                        words.push(resolved(&word));
                    }
                }
            }
        }
    }

    fn advance(&mut self) {
        self.line += usize::from(self.bytes.get(self.at) == Some(&b'\n'));
        self.at += 1;
    }

    fn word(&mut self) -> (String, bool) {
        let quote = self.bytes.get(self.at).copied().filter(|byte| matches!(byte, b'"' | b'`'));
        let mut word = Vec::new();
        if quote.is_some() {
            self.advance();
        }
        while let Some(&byte) = self.bytes.get(self.at) {
            match (quote, byte) {
                (Some(quote), byte) if quote == byte => {
                    self.advance();
                    break;
                }
                (Some(b'"'), b'\\') if self.bytes.get(self.at + 1) == Some(&b'"') => self.advance(),
                (None, byte) if byte.is_ascii_whitespace() => break,
                _ => {}
            }
            if let Some(&byte) = self.bytes.get(self.at) {
                word.push(byte);
                self.advance();
            }
        }
        if quote.is_none() && word.starts_with(b"<<") && word.len() > 2 {
            let end = word.split_off(2);
            word = self.until(&end);
        }
        word.truncate(WORD_CAP);
        (decode(&word).0.replace('\0', "\\x00"), quote.is_some())
    }

    /// The text up to a line of nothing but its end.
    fn until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        while self.at < self.bytes.len() {
            // The rest of the line before it first.
            self.advance();
            let line = self.bytes.get(self.at..).unwrap_or_default();
            let line = &line[..line.iter().position(|&byte| byte == b'\n').unwrap_or(line.len())];
            self.at += line.len();
            if line.trim_ascii() == end {
                break;
            }
            text.extend_from_slice(&line[..line.len().min(WORD_CAP)]);
            text.truncate(WORD_CAP);
        }
        text
    }
}
