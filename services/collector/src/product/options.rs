//! Options of a command line, in the forms that servers know.

/// The arguments of a process as text, the program's name first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options(Vec<String>);

impl Options {
    pub(crate) fn new(args: Vec<String>) -> Self {
        Options(args)
    }

    /// All arguments.
    pub(crate) fn all(&self) -> &[String] {
        &self.0
    }

    /// The last value of one of the options. An option that ends with `=`, or `-Dname=`, has its value behind it; another
    /// has it behind `=`, in the next argument, or (one letter) right behind.
    pub(crate) fn value(&self, names: &[&str]) -> Option<&str> {
        let mut found = None;
        for (at, arg) in self.0.iter().enumerate().skip(1) {
            for name in names.iter().filter(|name| !name.is_empty()) {
                let Some(rest) = arg.strip_prefix(name) else { continue };
                let value = if name.ends_with('=') {
                    Some(rest)
                } else if rest.is_empty() {
                    self.0.get(at + 1).map(String::as_str)
                } else if let Some(value) = rest.strip_prefix('=') {
                    Some(value)
                } else if name.len() == 2 && !name.starts_with("--") {
                    Some(rest)
                } else {
                    None
                };
                found = value.filter(|value| !value.is_empty()).or(found);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_behind_or_beside_its_option() {
        let options = |text: &str| Options::new(text.split(' ').map(str::to_owned).collect());
        let of = |text: &str, name: &str| options(text).value(&[name]).map(str::to_owned);
        assert_eq!(of("nginx -c /a", "-c").as_deref(), Some("/a"));
        assert_eq!(of("memcached -p11211", "-p").as_deref(), Some("11211"));
        assert_eq!(of("mysqld --port=1 --port=2", "--port").as_deref(), Some("2"));
        assert_eq!(of("mongod --port 3", "--port").as_deref(), Some("3"));
        assert_eq!(of("mysqld --port-open=9", "--port"), None);
        assert_eq!(of("java -Dcatalina.base=/t X", "-Dcatalina.base=").as_deref(), Some("/t"));
        assert_eq!(of("x -c", "-c"), None);
        assert_eq!(of("-c", "-c"), None);
    }
}
