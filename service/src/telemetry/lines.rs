//! Where log lines go.
//!
//! Standard error has a lock: threads that log at the same time would wait for each other's writing, a
//! system call, and be put to sleep and woken for it. Here whoever comes first writes, and takes along
//! what others leave meanwhile.

use std::{
    io::{self, Write},
    mem,
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
};
use tracing_subscriber::fmt::MakeWriter;

/// Who leaves more than so many bytes waits until they are written: nobody reads them.
const LEFT_BYTES: usize = 64 * 1024;

/// Lines on their way to an output, in the order in which they came. What can be written is written, at the
/// latest, when the last thread that logs has returned from it.
pub(super) struct Lines<Output> {
    left: Mutex<Vec<u8>>,
    writing: Mutex<Writing<Output>>,
}

struct Writing<Output> {
    output: Output,
    /// Empty but while it is written; kept for its memory.
    taken: Vec<u8>,
}

impl<Output: Write> Lines<Output> {
    pub(super) fn to(output: Output) -> Self {
        let taken = Vec::new();
        Self {
            left: Mutex::default(),
            writing: Mutex::new(Writing { output, taken }),
        }
    }

    /// Leaves whole lines, and writes what has been left unless another thread does. Lines that cannot be
    /// written are lost.
    fn leave(&self, lines: &[u8]) -> io::Result<()> {
        let mut left = lock(&self.left);
        left.extend_from_slice(lines);
        let are_many = left.len() > LEFT_BYTES;
        drop(left);
        let mut result = Ok(());
        loop {
            let writing = if are_many {
                lock(&self.writing)
            } else {
                match self.writing.try_lock() {
                    Ok(writing) => writing,
                    Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                    // It looks again after its last look.
                    Err(TryLockError::WouldBlock) => return result,
                }
            };
            result = result.and(self.write(writing));
            if lock(&self.left).is_empty() {
                return result;
            }
        }
    }

    fn write(&self, mut writing: MutexGuard<'_, Writing<Output>>) -> io::Result<()> {
        let Writing { output, taken } = &mut *writing;
        loop {
            taken.clear();
            mem::swap(&mut *lock(&self.left), taken);
            if taken.is_empty() {
                return Ok(());
            }
            output.write_all(taken)?;
        }
    }
}

/// No panic leaves what these mutexes guard half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<Output: Write> Write for &Lines<Output> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.leave(lines)?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a, Output: Write + 'a> MakeWriter<'a> for Lines<Output> {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{Arc, Barrier, mpsc},
        thread,
    };

    /// Hands over what is written; each writing waits to be let go.
    struct Slow {
        written: mpsc::Sender<String>,
        go: mpsc::Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            self.written.send(text).unwrap();
            self.go.recv().unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_while_another_writes_does_not_wait_and_is_written_by_it() {
        let ((written, writes), (go, going)) = (mpsc::channel(), mpsc::channel());
        let lines = Arc::new(Lines::to(Slow { written, go: going }));
        let first = Arc::clone(&lines);
        let first = thread::spawn(move || (&*first).write_all(b"1\n").unwrap());
        assert_eq!(writes.recv().unwrap(), "1\n");
        for line in ["2\n", "3\n"] {
            (&*lines).write_all(line.as_bytes()).unwrap();
        }
        go.send(()).unwrap();
        assert_eq!(writes.recv().unwrap(), "2\n3\n");
        go.send(()).unwrap();
        first.join().unwrap();
    }

    #[test]
    fn who_leaves_too_much_waits_until_it_is_written() {
        let ((written, writes), (go, going)) = (mpsc::channel(), mpsc::channel());
        let lines = Arc::new(Lines::to(Slow { written, go: going }));
        let log = |text: String| {
            let lines = Arc::clone(&lines);
            thread::spawn(move || (&*lines).write_all(text.as_bytes()).unwrap())
        };
        let first = log("1\n".to_owned());
        writes.recv().unwrap();
        let much = log("x".repeat(LEFT_BYTES + 1));
        while lock(&lines.left).is_empty() {
            thread::yield_now();
        }
        for _ in 0..1_000 {
            thread::yield_now();
            assert!(!much.is_finished(), "a full pipe would fill the memory");
        }
        go.send(()).unwrap();
        assert_eq!(writes.recv().unwrap().len(), LEFT_BYTES + 1);
        go.send(()).unwrap();
        first.join().unwrap();
        much.join().unwrap();
    }

    #[test]
    fn every_line_is_written_once_whoever_writes() {
        const THREADS: usize = 4;
        const LINES: usize = 2_000;
        let lines = Lines::to(Vec::new());
        let begin = Barrier::new(THREADS);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (lines, begin) = (&lines, &begin);
                scope.spawn(move || {
                    begin.wait();
                    for number in 0..LINES {
                        let line = format!("{thread} {number}\n");
                        let mut writer = lines;
                        writer.write_all(line.as_bytes()).unwrap();
                    }
                });
            }
        });
        let written = String::from_utf8(lock(&lines.writing).output.clone()).unwrap();
        for thread in 0..THREADS {
            let prefix = format!("{thread} ");
            let own = written
                .lines()
                .filter_map(|line| line.strip_prefix(&prefix));
            let numbers: Vec<usize> = own.map(|number| number.parse().unwrap()).collect();
            assert_eq!(numbers, (0..LINES).collect::<Vec<_>>(), "in order");
        }
    }
}
