//! The four ways in which files set variables.

use std::collections::HashSet;

use super::{is_name, lines};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// `NAME=value`, perhaps with `export` before it: what pam reads at login.
    Pam,
    /// `NAME=value`, nothing else.
    Plain,
    /// `NAME DEFAULT=value OVERRIDE=value`; what overrides counts.
    PamEnv,
    /// A program of a shell.
    Shell,
}

/// A line number, a name and a value as it is written, without the quotes around the whole of it.
type Assignment<'a> = (usize, &'a [u8], &'a [u8]);

/// The assignments of a file, in its order.
pub(super) fn assignments(bytes: &[u8], syntax: Syntax) -> Vec<Assignment<'_>> {
    match syntax {
        Syntax::Plain => lines(bytes).filter_map(|(number, line)| plain(number, line)).collect(),
        Syntax::Pam => lines(bytes)
            .filter_map(|(number, line)| {
                plain(number, line.strip_prefix(b"export ").map_or(line, <[u8]>::trim_ascii_start))
            })
            .collect(),
        Syntax::PamEnv => lines(bytes).filter_map(|(number, line)| pam_env(number, line)).collect(),
        Syntax::Shell => shell(bytes),
    }
}

fn plain(number: usize, line: &[u8]) -> Option<Assignment<'_>> {
    let at = line.iter().position(|&byte| byte == b'=')?;
    let name = line[..at].trim_ascii_end();
    is_name(name).then(|| (number, name, unquote(line[at + 1..].trim_ascii())))
}

fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [first @ (b'"' | b'\''), inner @ .., last] if first == last => inner,
        _ => value,
    }
}

fn pam_env(number: usize, line: &[u8]) -> Option<Assignment<'_>> {
    let end = line.iter().position(u8::is_ascii_whitespace);
    // `.pam_environment` also takes the plain form.
    let Some(end) = end.filter(|&end| !line[..end].contains(&b'=')) else { return plain(number, line) };
    let (name, rest) = line.split_at(end);
    let value = option(rest, b"OVERRIDE=").or_else(|| option(rest, b"DEFAULT="))?;
    is_name(name).then_some((number, name, value))
}

fn option<'a>(rest: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = rest.windows(key.len()).position(|window| window == key)?;
    let value = &rest[at + key.len()..];
    let value = match value.first() {
        Some(b'"') => {
            let end = value[1..].iter().position(|&byte| byte == b'"').map_or(value.len(), |end| end + 1);
            &value[1..end]
        }
        _ => &value[..value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len())],
    };
    (!value.is_empty()).then_some(value)
}

/// Assignments of variables that the file exports: `export A=1 B=2`, `declare -x A=1`, or `A=1` and `export A` apart.
fn shell(bytes: &[u8]) -> Vec<Assignment<'_>> {
    let mut found: Vec<(Assignment<'_>, bool)> = Vec::new();
    let mut exported: HashSet<&[u8]> = HashSet::new();
    for (number, line) in lines(bytes) {
        for command in commands(line) {
            let mut words = words(command);
            let Some(&first) = words.first() else { continue };
            let exports = match first {
                b"export" => true,
                b"declare" | b"typeset" => words.iter().any(|word| word.starts_with(b"-") && word.contains(&b'x')),
                _ => false,
            };
            if exports {
                words.remove(0);
            }
            let before = found.len();
            for word in words {
                match word.iter().position(|&byte| byte == b'=') {
                    Some(at) if is_name(&word[..at]) => {
                        found.push(((number, &word[..at], unquote(&word[at + 1..])), exports));
                    }
                    _ if exports && is_name(word) => _ = exported.insert(word),
                    _ if exports => {}
                    // `A=1 program` is for that program alone.
                    _ => {
                        found.truncate(before);
                        break;
                    }
                }
            }
        }
    }
    found.into_iter().filter(|((_, name, _), sure)| *sure || exported.contains(name)).map(|(found, _)| found).collect()
}

/// The commands of a line: split at `;`, `&` and `|` outside quotes, without a comment and the words that only frame.
fn commands(line: &[u8]) -> Vec<&[u8]> {
    let mut commands = Vec::new();
    let (mut from, mut quote, mut at) = (0, None, 0);
    while at < line.len() {
        let byte = line[at];
        match (quote, byte) {
            (Some(b'"') | None, b'\\') => at += 1,
            (Some(open), _) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'#') if at == 0 || line[at - 1].is_ascii_whitespace() || line[at - 1] == b';' => {
                commands.push(&line[from..at]);
                return commands.into_iter().map(unframed).collect();
            }
            (None, b';' | b'&' | b'|') => {
                commands.push(&line[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    commands.push(&line[from.min(line.len())..]);
    commands.into_iter().map(unframed).collect()
}

fn unframed(command: &[u8]) -> &[u8] {
    let mut command = command.trim_ascii();
    while let Some(rest) =
        [&b"then "[..], b"else ", b"do ", b"{ ", b"! "].iter().find_map(|frame| command.strip_prefix(*frame))
    {
        command = rest.trim_ascii();
    }
    command
}

/// The words of a command, quotes kept.
fn words(command: &[u8]) -> Vec<&[u8]> {
    let mut words = Vec::new();
    let (mut from, mut quote, mut at) = (None, None, 0);
    while at < command.len() {
        let byte = command[at];
        match (quote, byte) {
            (None, byte) if byte.is_ascii_whitespace() => {
                if let Some(from) = from.take() {
                    words.push(&command[from..at]);
                }
                at += 1;
                continue;
            }
            (Some(b'"') | None, b'\\') => {
                from.get_or_insert(at);
                at += 1;
            }
            (Some(open), _) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            _ => {}
        }
        from.get_or_insert(at.min(command.len()));
        at += 1;
    }
    if let Some(from) = from.filter(|&from| from < command.len()) {
        words.push(&command[from..]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, syntax: Syntax) -> Vec<(String, String)> {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assignments(text.as_bytes(), syntax).into_iter().map(|(_, name, value)| (shown(name), shown(value))).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_files_of_pam_are_read() {
        let text = "# note\nPATH=\"/bin:/usr/bin\"\nexport LANG=C\n=x\nno equals\n1A=2\n  B = 'c d'\n";
        assert_eq!(read(text, Syntax::Pam), pairs(&[("PATH", "/bin:/usr/bin"), ("LANG", "C"), ("B", "c d")]));
        let text = "# A DEFAULT=x\nDISPLAY\tDEFAULT=${REMOTEHOST}:0.0 OVERRIDE=${DISPLAY}\nPAGER DEFAULT=\"less -R\"\nEMPTY DEFAULT=\nC=d\n";
        assert_eq!(read(text, Syntax::PamEnv), pairs(&[("DISPLAY", "${DISPLAY}"), ("PAGER", "less -R"), ("C", "d")]));
    }

    #[test]
    fn a_shells_exports_are_read_and_nothing_else() {
        let text = r#"
            A=1; export A          # both
            local_only=2
            if [ "$x" = "y" ]; then export B="two words" C=3; fi
            declare -x D='4;5'
            F=6 program --with G=7
            export H
            H=8
            alias x='export I=9'
            export J="a\"b" K=$(cat /etc/passwd | wc -l)
        "#;
        let found = read(text, Syntax::Shell);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["A", "B", "C", "D", "H", "J", "K"]);
        assert_eq!(found[1].1, "two words");
        assert_eq!(found[3].1, "4;5");
        assert_eq!(found[5].1, "a\\\"b");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            for syntax in [Syntax::Pam, Syntax::Plain, Syntax::PamEnv, Syntax::Shell] {
                assignments(&bytes, syntax);
            }
        }

        #[test]
        fn no_shell_line_makes_it_panic(line in "[A-Z=\"'\\\\ ;|#x]{0,60}") {
            assignments(line.as_bytes(), Syntax::Shell);
        }
    }
}
