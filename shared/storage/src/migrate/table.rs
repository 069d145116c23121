use super::{Dialect, Type};

/// A table to be made; one spelling serves both databases.
#[derive(Debug, Clone)]
pub struct Table {
    name: &'static str,
    columns: Vec<Column>,
    key: Vec<&'static str>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    name: &'static str,
    of: Type,
    null: bool,
    default: Option<&'static str>,
}

/// Makes a column that may not be null.
pub fn column(name: &'static str, of: Type) -> Column {
    Column { name, of, null: false, default: None }
}

impl Column {
    /// Lets it be null.
    #[must_use]
    pub fn null(mut self) -> Self {
        self.null = true;
        self
    }

    /// Gives it a default, spelled in SQL.
    #[must_use]
    pub fn default(mut self, sql: &'static str) -> Self {
        self.default = Some(sql);
        self
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn sql(&self, dialect: Dialect) -> String {
        let mut sql = format!("{} {}", dialect.quote(self.name), dialect.column_type(self.of));
        if !self.null {
            sql.push_str(" NOT NULL");
        }
        if let Some(default) = self.default {
            sql.push_str(" DEFAULT ");
            sql.push_str(default);
        }
        sql
    }
}

macro_rules! columns {
    ($( $(#[doc = $doc:literal])+ $method:ident / $nullable:ident = $type:expr; )+) => { $(
        $(#[doc = $doc])+
        #[must_use]
        pub fn $method(self, name: &'static str) -> Self { self.with(column(name, $type)) }
        $(#[doc = $doc])+
        /// It may be null.
        #[must_use]
        pub fn $nullable(self, name: &'static str) -> Self { self.with(column(name, $type).null()) }
    )+ };
}

impl Table {
    /// A table of tenants: its first column is `app_id`, and so must its key's be.
    pub fn of_tenant(name: &'static str) -> Self {
        Self { name, columns: vec![column("app_id", Type::Big)], key: Vec::new() }
    }

    /// A table that holds nothing of tenants.
    pub fn global(name: &'static str) -> Self {
        Self { name, columns: Vec::new(), key: Vec::new() }
    }

    /// Adds a column.
    #[must_use]
    pub fn with(mut self, column: Column) -> Self {
        self.columns.push(column);
        self
    }

    columns! {
        /// Adds an `i16`, also for stored enums.
        small / small_null = Type::Small;
        /// Adds an `i32`.
        int / int_null = Type::Int;
        /// Adds a `u32`.
        unsigned / unsigned_null = Type::Unsigned;
        /// Adds an `i64`.
        big / big_null = Type::Big;
        /// Adds an `f64`.
        double / double_null = Type::Double;
        /// Adds a `bool`.
        bool / bool_null = Type::Bool;
        /// Adds a `Uuid`, which is also the type of 16-byte hashes.
        uuid / uuid_null = Type::Uuid;
        /// Adds bytes of any length.
        blob / blob_null = Type::Blob;
        /// Adds text up to 64 KiB, never indexed.
        text / text_null = Type::Text;
        /// Adds text up to 16 MiB, never indexed.
        long_text / long_text_null = Type::LongText;
        /// Adds JSON, never compared.
        json / json_null = Type::Json;
        /// Adds a time in microseconds, UTC. Cut to microseconds before writing.
        time / time_null = Type::Time;
    }

    /// Adds text of at most `length` characters (255 at most).
    #[must_use]
    pub fn varchar(self, name: &'static str, length: u16) -> Self {
        self.with(column(name, Type::Varchar(length.min(255))))
    }

    /// Adds text of at most `length` characters that may be null.
    #[must_use]
    pub fn varchar_null(self, name: &'static str, length: u16) -> Self {
        self.with(column(name, Type::Varchar(length.min(255))).null())
    }

    /// Adds bytes of at most `length`, fit for keys.
    #[must_use]
    pub fn bytes(self, name: &'static str, length: u16) -> Self {
        self.with(column(name, Type::Bytes(length)))
    }

    /// Adds the etag's column, `version`, which starts at 1.
    #[must_use]
    pub fn version(self) -> Self {
        self.with(column("version", Type::Big).default("1"))
    }

    /// Names the primary key; of a tenant's table it begins with `app_id`.
    #[must_use]
    pub fn key(mut self, columns: &[&'static str]) -> Self {
        self.key = columns.to_vec();
        self
    }

    pub(super) fn sql(&self, dialect: Dialect) -> String {
        let columns: Vec<_> = self.columns.iter().map(|c| c.sql(dialect)).collect();
        let key: Vec<_> = self.key.iter().map(|c| dialect.quote(c)).collect();
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({})){}",
            dialect.quote(self.name),
            columns.join(", "),
            key.join(", "),
            dialect.table_options(),
        )
    }
}
