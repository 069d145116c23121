//! Maven's order of versions, as its POM reference states it.
//!
//! A version is a row of tokens, cut at dots, hyphens, and where digits meet letters. A number after a dot is greater
//! than one after a hyphen, and both are greater than a word, whichever stands before the word; a version that has
//! ended is worth as much as the empty word, which is a release. Zeros and words for a release are dropped at the end and before each
//! hyphen or word, so that each is followed by something that counts, and comparing token by token is a total order.

/// A token; the order of the variants is the order of Maven.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    /// A word that comes before a release: `alpha`, `beta`, `milestone`, `rc`, `snapshot`, from 0.
    Before(u8),
    /// The end of the version. It stands behind the last token of each.
    End,
    /// A word for a release with something behind it.
    Release,
    /// `sp`, a service pack.
    ServicePack,
    /// Any other word.
    Word(String),
    /// A number after a hyphen.
    Hyphen(Number),
    /// A number after a dot, or at the start.
    Dot(Number),
}

/// A number of any length, without leading zeros: the longer is the greater.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Number(usize, String);

/// A version, ready to be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(Vec<Token>);

impl Token {
    fn number(digits: &str, hyphen: bool) -> Self {
        let digits = digits.trim_start_matches('0');
        let number = Number(digits.len(), digits.to_owned());
        if hyphen { Self::Hyphen(number) } else { Self::Dot(number) }
    }

    fn word(word: &str, before_number: bool) -> Self {
        match word {
            "a" if before_number => Self::Before(0),
            "b" if before_number => Self::Before(1),
            "m" if before_number => Self::Before(2),
            "alpha" => Self::Before(0),
            "beta" => Self::Before(1),
            "milestone" => Self::Before(2),
            "rc" | "cr" => Self::Before(3),
            "snapshot" => Self::Before(4),
            "ga" | "final" | "release" => Self::Release,
            "sp" => Self::ServicePack,
            other => Self::Word(other.to_owned()),
        }
    }

    /// Says whether it is worth nothing at an end.
    fn is_null(&self) -> bool {
        match self {
            Self::Release => true,
            Self::Hyphen(n) | Self::Dot(n) => n.0 == 0,
            _ => false,
        }
    }
}

impl Version {
    /// Reads a version: any text with a letter or a digit.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if !text.chars().any(char::is_alphanumeric) {
            return None;
        }
        let text = text.to_lowercase();
        let mut tokens: Vec<Token> = Vec::new();
        let mut push = |token: Token| {
            // A dot before a number goes on; all else begins a part, and what is worth nothing before it goes.
            if !matches!(token, Token::Dot(_)) {
                trim(&mut tokens);
            }
            tokens.push(token);
        };
        let (mut rest, mut hyphen) = (text.as_str(), false);
        loop {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let end = match digits {
                0 => rest.find(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-')).unwrap_or(rest.len()),
                digits => digits,
            };
            let (token, after) = rest.split_at(end);
            let next = after.chars().next();
            push(match digits {
                // An empty token is a zero.
                0 if token.is_empty() => Token::number("", hyphen),
                0 => Token::word(token, next.is_some_and(|c| c.is_ascii_digit())),
                _ => Token::number(token, hyphen),
            });
            (rest, hyphen) = match next {
                None => break,
                Some(c @ ('.' | '-')) => (&after[1..], c == '-'),
                Some(_) => (after, true),
            };
        }
        trim(&mut tokens);
        tokens.push(Token::End);
        Some(Self(tokens))
    }
}

fn trim(tokens: &mut Vec<Token>) {
    while tokens.last().is_some_and(Token::is_null) {
        tokens.pop();
    }
}
