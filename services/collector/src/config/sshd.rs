//! sshd's configuration as runs of directives, each with the condition under which it holds.

use super::{Reader, below};
use crate::text::{decode, lines};

/// Includes are looked for here where they name no absolute path.
const FOLDER: &str = "/etc/ssh";
/// Each account is held against all of them.
const WORDS_CAP: usize = 5_000;

/// Directives that hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// What `Match` asks for, each a criterion in lower case with its patterns; none where the block holds for all.
    pub(crate) criteria: Vec<(String, String)>,
    /// Keywords in lower case, with their arguments.
    pub(crate) directives: Vec<(String, Vec<String>)>,
}

/// Reads a configuration and what it includes, in its order.
pub(crate) fn read(reader: &mut Reader<'_>, path: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut left = WORDS_CAP;
    reader.file(0, path, &mut |reader, bytes| parse(reader, bytes, &[], &mut blocks, &mut left));
    blocks
}

/// A `Match` holds to the next one or to the end of its file; a file that is included in it is under its condition.
fn parse(reader: &mut Reader<'_>, bytes: &[u8], outer: &[(String, String)], blocks: &mut Vec<Block>, left: &mut usize) {
    let mut block = Block { criteria: outer.to_vec(), ..Block::default() };
    for (number, line) in lines(bytes) {
        let mut words = words(&decode(line).0).into_iter();
        let count = words.len();
        let Some(keyword) = words.next().map(|word| word.to_ascii_lowercase()) else { continue };
        let Some(rest) = left.checked_sub(count) else {
            reader.complain(number, "the configuration has too many words");
            break;
        };
        *left = rest;
        let criteria = block.criteria.clone();
        match keyword.as_str() {
            "include" => {
                blocks.push(std::mem::take(&mut block));
                for pattern in words {
                    let pattern = below(FOLDER, &pattern);
                    reader.include(number, &pattern, &mut |reader, bytes| {
                        parse(reader, bytes, &criteria, blocks, left);
                    });
                }
                block.criteria = criteria;
            }
            "match" => {
                blocks.push(std::mem::take(&mut block));
                block.criteria = outer.to_vec();
                while let Some(criterion) = words.next() {
                    let criterion = criterion.to_ascii_lowercase();
                    let patterns = if criterion == "all" { String::new() } else { words.next().unwrap_or_default() };
                    block.criteria.push((criterion, patterns));
                }
            }
            _ => block.directives.push((keyword, words.collect())),
        }
    }
    blocks.push(block);
}

/// The words of a line, up to a comment. The keyword may be parted from its arguments by `=`; quotes hold spaces.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() && !rest.starts_with('#') {
        let is_first = words.is_empty();
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => {
                let end = rest.find(|c: char| c.is_whitespace() || (is_first && c == '='));
                rest.split_at(end.unwrap_or(rest.len()))
            }
        };
        words.push(word.to_owned());
        rest = after.trim_start();
        if is_first {
            rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_spaces_quotes_and_comments() {
        assert_eq!(words(" AllowUsers=a \"b c\"\td # e"), ["AllowUsers", "a", "b c", "d"]);
        assert_eq!(words("PermitRootLogin = no"), ["PermitRootLogin", "no"]);
        assert_eq!(words("# a"), [""; 0]);
        assert_eq!(words("a \"b"), ["a", "b"]);
    }
}
