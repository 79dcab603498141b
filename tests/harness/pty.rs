//! A program on a terminal of its own, which `script` of util-linux makes.

use super::{snapback, until};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};
use tempfile::TempDir;

/// `snapback` on a terminal.
pub(crate) struct Pty {
    child: Child,
    keys: ChildStdin,
    output: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    dir: TempDir,
}

impl Pty {
    /// Starts it with these arguments on a terminal of that size.
    pub(crate) fn start(args: &[&str], (columns, rows): (u16, u16)) -> Self {
        let program = snapback();
        let words: Vec<&str> =
            program.get_program().to_str().into_iter().chain(args.iter().copied()).collect();
        let line = words.join(" ");
        assert!(!line.contains(['\'', '"', '$']), "{line}");
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().display();
        // The modes of the terminal are printed after the program, as it leaves them.
        let shell = format!(
            "stty cols {columns} rows {rows}; tty >{path}/tty; sh -c 'echo $$ >{path}/pid; exec {line}'; \
             echo code=$?; stty -a; echo done"
        );
        let mut script = Command::new("script");
        script.args(["-qec", &shell, "/dev/null"]).env("TERM", "xterm-256color").env_remove("NO_COLOR");
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = script.spawn().expect("`script`, which every Debian has");
        let keys = child.stdin.take().expect("piped");
        let mut stdout = child.stdout.take().expect("piped");
        let output = Arc::new(Mutex::new(Vec::new()));
        let reader = {
            let output = Arc::clone(&output);
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                // A terminal whose program has ended may be reported as an error.
                while let Ok(read @ 1..) = stdout.read(&mut bytes) {
                    output.lock().expect("whole").extend_from_slice(&bytes[..read]);
                }
            })
        };
        Self { child, keys, output, reader, dir }
    }

    /// Everything that was written to the terminal so far.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().expect("whole")).into_owned()
    }

    /// Waits until the screen shows all these texts.
    pub(crate) fn shows(&self, texts: &[&str]) {
        until(&format!("{texts:?} on the terminal"), || {
            let screen = screen(&self.written());
            texts.iter().all(|text| screen.contains(text))
        });
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it reads");
        self.keys.flush().expect("it reads");
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid: i32 = self.file("pid").parse().expect("a number");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process");
        rustix::process::kill_process(pid, signal).expect("it is alive");
    }

    /// Changes the size of the terminal.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let status =
            Command::new("stty").args(["-F", &self.file("tty"), "cols", &columns, "rows", &rows]).status();
        assert!(status.expect("it runs").success());
    }

    fn file(&self, name: &str) -> String {
        let path = self.dir.path().join(name);
        until("the shell began", || fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n')));
        fs::read_to_string(&path).expect("text").trim().to_owned()
    }

    /// Waits for the end; returns the exit code, and checks that the terminal is as it was.
    pub(crate) fn ends(mut self) -> i32 {
        until("the program has ended", || self.written().contains("\ndone"));
        let written = self.written();
        drop(self.keys);
        self.child.wait().expect("it ends");
        self.reader.join().expect("it reads to the end");
        let (before, after) = written.rsplit_once("code=").expect("a code");
        let last = |sequence: &str| before.rfind(sequence);
        assert!(last("\u{1b}[?1049l") > last("\u{1b}[?1049h"), "the screen is given back: {written:?}");
        assert!(last("\u{1b}[?25h") > last("\u{1b}[?25l"), "the cursor is back: {written:?}");
        let modes: Vec<&str> = after.split_whitespace().collect();
        for mode in ["icanon", "echo", "isig", "opost"] {
            assert!(modes.contains(&mode), "{mode}: {after}");
        }
        modes[0].parse().expect("a number")
    }
}

/// What a terminal shows after these sequences, as far as this program uses them.
fn screen(written: &str) -> String {
    let mut rows: BTreeMap<u16, BTreeMap<u16, char>> = BTreeMap::new();
    let (mut row, mut column) = (1, 1);
    let mut chars = written.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            if !c.is_control() {
                rows.entry(row).or_default().insert(column, c);
                column += 1;
            }
            continue;
        }
        if chars.next() != Some('[') {
            continue;
        }
        let mut parameters = String::new();
        let end = chars.by_ref().find(|c| {
            parameters.push(*c);
            c.is_ascii_alphabetic()
        });
        match end {
            Some('H') => {
                let place = parameters.trim_end_matches('H').split_once(';').unwrap_or(("1", "1"));
                (row, column) = (place.0.parse().expect("a row"), place.1.parse().expect("a column"));
            }
            Some('J') => rows.clear(),
            _ => {}
        }
    }
    let line = |cells: &BTreeMap<u16, char>| -> String {
        let last = cells.keys().last().copied().unwrap_or(0);
        (1..=last).map(|column| cells.get(&column).copied().unwrap_or(' ')).collect()
    };
    rows.values().map(line).collect::<Vec<_>>().join("\n")
}
