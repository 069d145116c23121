//! Values that are never shown, and lists that fit into an environment variable.

use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret of the configuration, or the file that holds it.
///
/// Every key of this type has a twin: `password = "…"` or `password_file = "/run/secrets/password"`. A file is read again
/// at every [`Secret::read`], so that a rotated secret needs no restart. It is shown as `***`, a file by its path.
#[derive(Debug, Clone)]
pub enum Secret {
    /// The secret itself.
    Value(SecretString),
    /// The file that holds it; a line end at its end is cut off.
    File(PathBuf),
}

impl Secret {
    /// A secret given as text.
    pub fn new(value: impl Into<String>) -> Self {
        Self::Value(SecretString::from(value.into()))
    }

    /// The secret as it is now.
    pub fn read(&self) -> anyhow::Result<SecretString> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::File(path) => read_file(path),
        }
    }

    /// The secret as it is now, in the open; never log it.
    pub fn expose(&self) -> anyhow::Result<String> {
        Ok(self.read()?.expose_secret().to_owned())
    }
}

fn read_file(path: &Path) -> anyhow::Result<SecretString> {
    use anyhow::Context as _;
    let text = std::fs::read_to_string(path).with_context(|| format!("secret file {}", path.display()))?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(_) => serializer.serialize_str("***"),
            Self::File(path) => serializer.collect_map([("file", path)]),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Secret;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, or the file that holds it")
            }
            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Secret, E> {
                Ok(Secret::new(value))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
                match map.next_entry::<String, PathBuf>()? {
                    Some((key, path)) if key == "file" => Ok(Secret::File(path)),
                    _ => Err(A::Error::custom("a secret is a text or has the key `file`")),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "object"], "writeOnly": true, "x-secret": true })
    }
}

/// A list that is written as a list in a file, or with commas in a variable or flag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct List(pub Vec<String>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Many(Vec<String>),
            One(String),
        }
        Ok(Self(match Form::deserialize(deserializer)? {
            Form::Many(items) => items,
            Form::One(text) => {
                text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
            }
        }))
    }
}

impl JsonSchema for List {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "List".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["array", "string"], "items": { "type": "string" } })
    }
}
