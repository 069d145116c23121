use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use cwpp_collector::authlog::{AuthEvent, Zone};
use cwpp_collector::spool::{Spool, SpoolError};

use crate::{Host, noon};

/// A log and the spool of it.
struct World(Host);

impl World {
    fn new() -> Self {
        let world = World(Host::new());
        fs::write(world.log(), "").unwrap();
        world
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("auth.log")
    }

    fn directory(&self) -> PathBuf {
        self.0.path().join("spool")
    }

    fn write(&self, text: &str) {
        OpenOptions::new().append(true).create(true).open(self.log()).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Attempts from these ports.
    fn attempts(&self, ports: std::ops::Range<u16>) {
        self.write(&ports.map(line).collect::<String>());
    }

    fn open(&self) -> Spool {
        Spool::open(self.directory(), self.log(), Zone::Named(chrono_tz::UTC)).unwrap()
    }

    fn state(&self) -> PathBuf {
        self.directory().join("state.json")
    }
}

fn line(port: u16) -> String {
    format!(
        "Nov 24 07:{:02}:{:02} host sshd[{port}]: Failed password for root from 192.0.2.4 port {port} ssh2\n",
        port / 60 % 60,
        port % 60
    )
}

fn ingest(spool: &mut Spool) -> bool {
    let mut lost = false;
    loop {
        let done = spool.ingest(noon()).unwrap();
        lost |= done.lost;
        if !done.more {
            return lost;
        }
    }
}

/// What waits in the spool: first number and ports.
fn waiting(spool: &Spool) -> (u64, Vec<u16>) {
    let ports = |events: &[AuthEvent]| events.iter().map(|event| event.source_port.unwrap()).collect();
    spool.next_batch(100_000).unwrap().map_or((0, Vec::new()), |batch| (batch.first_seq, ports(&batch.events)))
}

#[test]
fn events_are_numbered_once_and_survive_a_restart() {
    let world = World::new();
    world.attempts(1..4);
    let mut spool = world.open();
    let id = spool.id();
    ingest(&mut spool);
    assert_eq!(waiting(&spool), (1, vec![1, 2, 3]));
    spool.acknowledge(2).unwrap();
    drop(spool);

    world.attempts(4..6);
    let mut spool = world.open();
    assert_eq!(spool.id(), id);
    assert_eq!(waiting(&spool), (3, vec![3]));
    ingest(&mut spool);
    assert_eq!(waiting(&spool), (3, vec![3, 4, 5]));
    assert_eq!(spool.next_batch(2).unwrap().unwrap().events.len(), 2);
    spool.acknowledge(5).unwrap();
    assert_eq!(spool.next_batch(2).unwrap(), None);
}

#[test]
fn the_server_may_ask_for_events_again() {
    let world = World::new();
    world.attempts(1..6);
    let mut spool = world.open();
    ingest(&mut spool);
    spool.acknowledge(5).unwrap();
    spool.rewind_to(2).unwrap();
    assert_eq!(waiting(&spool), (2, vec![2, 3, 4, 5]));
    assert!(matches!(spool.rewind_to(7), Err(SpoolError::Ahead { next_seq: 6 })));
    assert!(matches!(spool.rewind_to(0), Err(SpoolError::Gone { first_available: 1 })));
    assert!(matches!(spool.acknowledge(6), Err(SpoolError::Ahead { next_seq: 6 })));
}

#[test]
fn a_new_numbering_keeps_what_waits() {
    let world = World::new();
    world.attempts(1..6);
    let mut spool = world.open();
    ingest(&mut spool);
    let id = spool.id();
    spool.acknowledge(2).unwrap();
    spool.renumber().unwrap();
    assert_ne!(spool.id(), id);
    assert_eq!(waiting(&spool), (1, vec![3, 4, 5]));
    drop(spool);
    let mut spool = world.open();
    world.attempts(6..7);
    ingest(&mut spool);
    assert_eq!(waiting(&spool), (1, vec![3, 4, 5, 6]));
}

#[test]
fn a_line_that_is_still_being_written_is_waited_for() {
    let world = World::new();
    let text = line(1);
    world.write(&text[..60]);
    let mut spool = world.open();
    ingest(&mut spool);
    assert_eq!(waiting(&spool), (0, vec![]));
    world.write(&text[60..]);
    ingest(&mut spool);
    assert_eq!(waiting(&spool), (1, vec![1]));
}

#[test]
fn the_rest_of_a_rotated_log_is_read_first() {
    let world = World::new();
    world.attempts(1..3);
    let mut spool = world.open();
    ingest(&mut spool);
    world.attempts(3..5);
    fs::rename(world.log(), world.log().with_extension("log.1")).unwrap();
    // The writer has not opened the new log yet.
    ingest(&mut spool);
    assert_eq!(waiting(&spool), (1, vec![1, 2, 3, 4]));
    OpenOptions::new()
        .append(true)
        .open(world.log().with_extension("log.1"))
        .unwrap()
        .write_all(line(5).as_bytes())
        .unwrap();
    world.attempts(6..8);
    assert!(!ingest(&mut spool));
    assert_eq!(waiting(&spool), (1, vec![1, 2, 3, 4, 5, 6, 7]));
}

#[test]
fn two_rotations_while_nobody_read_are_caught_up_with() {
    let world = World::new();
    let rotated = |n: u32| world.log().with_extension(format!("log.{n}"));
    world.attempts(1..3);
    let mut spool = world.open();
    ingest(&mut spool);
    drop(spool);
    world.attempts(3..5);
    fs::rename(world.log(), rotated(1)).unwrap();
    world.attempts(5..7);
    fs::rename(rotated(1), rotated(2)).unwrap();
    fs::rename(world.log(), rotated(1)).unwrap();
    world.attempts(7..9);
    let mut spool = world.open();
    assert!(!ingest(&mut spool));
    assert_eq!(waiting(&spool), (1, (1..9).collect()));
}

#[test]
fn a_log_that_is_copied_and_cut_goes_on() {
    let world = World::new();
    world.attempts(1..4);
    let mut spool = world.open();
    ingest(&mut spool);
    world.attempts(4..6);
    fs::copy(world.log(), world.log().with_extension("log.1")).unwrap();
    fs::write(world.log(), "").unwrap();
    ingest(&mut spool);
    // The cut log has grown beyond the old place before anybody looked.
    world.attempts(6..20);
    assert!(!ingest(&mut spool));
    assert_eq!(waiting(&spool), (1, (1..20).collect()));
}

#[test]
fn a_log_that_is_cut_without_a_copy_is_reported() {
    let world = World::new();
    world.attempts(1..4);
    let mut spool = world.open();
    ingest(&mut spool);
    fs::write(world.log(), line(9)).unwrap();
    assert!(ingest(&mut spool));
    assert_eq!(waiting(&spool), (1, vec![1, 2, 3, 9]));
}

#[test]
fn a_kill_before_the_commit_numbers_nothing_twice() {
    let world = World::new();
    world.attempts(1..4);
    let mut spool = world.open();
    ingest(&mut spool);
    drop(spool);
    let committed = fs::read(world.state()).unwrap();

    // The segment was written, the state was not.
    world.attempts(4..9);
    let mut spool = world.open();
    ingest(&mut spool);
    let before = spool.next_batch(100).unwrap();
    drop(spool);
    fs::write(world.state(), &committed).unwrap();
    let mut spool = world.open();
    assert_eq!(waiting(&spool), (1, vec![1, 2, 3]));
    ingest(&mut spool);
    assert_eq!(spool.next_batch(100).unwrap(), before);
    drop(spool);

    // Only a part of the segment was written, and a temporary state.
    let segment = fs::read_dir(world.directory())
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "jsonl"))
        .unwrap();
    let whole = fs::read(&segment).unwrap();
    for cut in [whole.len() - 1, whole.len() - 40, whole.len() - 300] {
        fs::write(&segment, &whole[..cut]).unwrap();
        fs::write(world.state(), &committed).unwrap();
        fs::write(world.directory().join("state.json.tmp"), "{").unwrap();
        let mut spool = world.open();
        ingest(&mut spool);
        assert_eq!(spool.next_batch(100).unwrap(), before);
    }
}

#[test]
fn a_torn_state_is_made_anew_from_the_segments() {
    let world = World::new();
    world.attempts(1..6);
    let mut spool = world.open();
    ingest(&mut spool);
    spool.acknowledge(2).unwrap();
    let id = spool.id();
    drop(spool);
    for torn in ["", "{\"version\":1", "\0\0\0\0"] {
        fs::write(world.state(), torn).unwrap();
        let mut spool = world.open();
        assert_eq!(spool.id(), id);
        ingest(&mut spool);
        assert_eq!(waiting(&spool), (1, vec![1, 2, 3, 4, 5]));
    }
    world.attempts(6..7);
    let mut spool = world.open();
    ingest(&mut spool);
    assert_eq!(waiting(&spool), (1, vec![1, 2, 3, 4, 5, 6]));
}

#[test]
fn without_state_and_segments_a_new_numbering_begins() {
    let world = World::new();
    world.attempts(1..3);
    let mut spool = world.open();
    ingest(&mut spool);
    let id = spool.id();
    drop(spool);
    fs::remove_dir_all(world.directory()).unwrap();
    let mut spool = world.open();
    ingest(&mut spool);
    assert_ne!(spool.id(), id);
    assert_eq!(waiting(&spool), (1, vec![1, 2]));
}

#[test]
fn only_one_process_uses_a_spool() {
    let world = World::new();
    let spool = world.open();
    let second = Spool::open(world.directory(), world.log(), Zone::Local);
    assert!(matches!(second, Err(SpoolError::Locked)));
    drop(spool);
    world.open();
}

#[test]
fn a_long_log_goes_into_several_segments_which_go_when_acknowledged() {
    let world = World::new();
    let text: String = (0..40_000_u32).map(|n| line((n % 60_000) as u16)).collect();
    world.write(&text);
    let mut spool = world.open();
    ingest(&mut spool);
    let segments = || {
        fs::read_dir(world.directory())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "jsonl"))
            .count()
    };
    assert!(segments() > 2);
    let mut seen = 0;
    while let Some(batch) = spool.next_batch(7_000).unwrap() {
        assert_eq!(batch.first_seq, seen + 1);
        seen = batch.last_seq();
        spool.acknowledge(seen).unwrap();
    }
    assert_eq!((seen, segments()), (40_000, 1));
}

#[test]
fn a_connection_that_began_before_a_restart_is_not_counted_twice() {
    let world = World::new();
    world.write("Nov 24 07:00:00 host sshd[1]: Invalid user x from 192.0.2.4 port 1\n");
    let mut spool = world.open();
    ingest(&mut spool);
    drop(spool);
    world.write("Nov 24 07:00:01 host sshd[1]: Failed password for invalid user x from 192.0.2.4 port 1 ssh2\nNov 24 07:00:02 host sshd[1]: Connection closed by invalid user x 192.0.2.4 port 1 [preauth]\n");
    let mut spool = world.open();
    ingest(&mut spool);
    assert_eq!(waiting(&spool), (1, vec![1]));
}
