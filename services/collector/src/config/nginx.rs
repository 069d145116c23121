//! nginx's configuration as a flat run of directives. Own and small: the kept crates build a tree by recursion, so that
//! a file of nothing but braces ends the process.

use super::{Reader, below, folder};

/// Blocks deeper than this are passed over.
const DEPTH_CAP: usize = 64;
/// The most directives of one configuration.
const DIRECTIVES_CAP: usize = 200_000;
const WORD_CAP: usize = 8_192;

/// What a configuration says, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A block begins; the words are its name and arguments.
    Open(Vec<String>),
    /// A block ends.
    Close,
    /// A simple directive.
    Simple(Vec<String>),
}

/// Reads a configuration and what it includes. Each file's blocks are closed at its end, whatever it holds.
pub(crate) fn read(reader: &mut Reader<'_>, path: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let base = folder(path).to_owned();
    reader.file(0, path, &mut |reader, bytes| parse(reader, bytes, &base, &mut events));
    events
}

fn parse(reader: &mut Reader<'_>, bytes: &[u8], base: &str, events: &mut Vec<Event>) {
    let mut words: Vec<String> = Vec::new();
    let mut depth = 0_usize;
    // How deep the blocks that are passed over are.
    let mut passed = 0_usize;
    let mut tokens = Tokens { bytes, at: 0, line: 1 };
    while let Some(token) = tokens.next() {
        if events.len() >= DIRECTIVES_CAP {
            reader.complain(tokens.line, "the configuration has too many directives");
            break;
        }
        match token {
            Token::Word(_) if passed > 0 => {}
            Token::Word(word) => {
                if words.len() < 1_000 {
                    words.push(word);
                }
            }
            Token::End if passed > 0 => {}
            Token::End => {
                let directive = std::mem::take(&mut words);
                match directive.as_slice() {
                    [] => {}
                    [name, pattern] if name == "include" => {
                        let pattern = below(base, pattern);
                        reader.include(tokens.line, &pattern, &mut |reader, bytes| parse(reader, bytes, base, events));
                    }
                    _ => events.push(Event::Simple(directive)),
                }
            }
            Token::Open if passed > 0 => passed += 1,
            Token::Open => {
                let block = std::mem::take(&mut words);
                // Lua's code follows other rules than the rest; its braces are balanced as a rule.
                let is_code = block.first().is_some_and(|name| name.ends_with("_by_lua_block"));
                if is_code || depth >= DEPTH_CAP {
                    if !is_code {
                        reader.complain(tokens.line, "blocks are nested too deep");
                    }
                    passed = 1;
                } else {
                    depth += 1;
                    events.push(Event::Open(block));
                }
            }
            Token::Close if passed > 0 => passed -= 1,
            Token::Close if depth == 0 => reader.complain(tokens.line, "a block is closed that was not opened"),
            Token::Close => {
                words.clear();
                depth -= 1;
                events.push(Event::Close);
            }
        }
    }
    if depth > 0 {
        reader.complain(tokens.line, "a block is not closed");
        events.extend(std::iter::repeat_n(Event::Close, depth));
    }
}

enum Token {
    Word(String),
    End,
    Open,
    Close,
}

struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

impl Tokens<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn advance(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    fn next(&mut self) -> Option<Token> {
        loop {
            match self.peek()? {
                byte if byte.is_ascii_whitespace() => _ = self.advance(),
                b'#' => while self.advance().is_some_and(|byte| byte != b'\n') {},
                b';' => {
                    self.advance();
                    return Some(Token::End);
                }
                b'{' => {
                    self.advance();
                    return Some(Token::Open);
                }
                b'}' => {
                    self.advance();
                    return Some(Token::Close);
                }
                quote @ (b'"' | b'\'') => {
                    self.advance();
                    return Some(self.word(Some(quote)));
                }
                _ => return Some(self.word(None)),
            }
        }
    }

    fn word(&mut self, quote: Option<u8>) -> Token {
        let mut word = Vec::new();
        while let Some(byte) = self.peek() {
            match (quote, byte) {
                (Some(quote), byte) if quote == byte => {
                    self.advance();
                    break;
                }
                (None, b';' | b'{') if !(byte == b'{' && word.last() == Some(&b'$')) => break,
                (None, byte) if byte.is_ascii_whitespace() => break,
                (_, b'\\') => {
                    self.advance();
                    let Some(next) = self.advance() else { break };
                    if !matches!(next, b'"' | b'\'' | b'\\' | b' ' | b';' | b'{' | b'}') {
                        word.push(b'\\');
                    }
                    word.push(next);
                }
                (None, b'{') => {
                    // `${name}` is part of a word.
                    while let Some(byte) = self.advance() {
                        word.push(byte);
                        if byte == b'}' || word.len() > WORD_CAP {
                            break;
                        }
                    }
                }
                _ => {
                    self.advance();
                    word.push(byte);
                }
            }
        }
        word.truncate(WORD_CAP);
        Token::Word(crate::text::decode(&word).0.replace('\0', "\\x00"))
    }
}
