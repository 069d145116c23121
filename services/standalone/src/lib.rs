//! All four services in one process on embedded SQLite, and the command line of the platform.
