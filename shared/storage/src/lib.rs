//! Everything a MySQL-backed service needs and no business.
