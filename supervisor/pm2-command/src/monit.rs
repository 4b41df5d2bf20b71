//! `monit`: a dashboard in the terminal, with the boards and keys of pm2's.

mod model;
mod view;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_supervisor_protocol::{AppSpec, AppStatus, Client, ClientError, LogLine, LogsRequest};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::{Context, Failure};
use model::{Key, Model};

/// Between two looks at the processes; pm2's figure.
const REFRESH: Duration = Duration::from_millis(800);
/// Between two attempts to reach a supervisor that is gone.
const RETRY: Duration = Duration::from_millis(500);
/// How long the thread that reads keys may sleep before it looks whether it is still wanted.
const KEY_POLL: Duration = Duration::from_millis(200);
/// Log lines of each application to begin with.
const FIRST_LINES: u32 = 100;

enum News {
    Processes(Vec<AppStatus>, Vec<AppSpec>),
    Log(LogLine),
    Trouble(String),
    Key(Key),
    Resized,
    /// The terminal gives no more keys.
    NoKeys(String),
}

/// Shows the dashboard until somebody leaves it.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(
            Failure::new("monit needs a terminal").hint("`pm2 list`, `pm2 jlist` and `pm2 logs` do without")
        );
    }
    drop(context.connect().await?);
    let failed = |error: std::io::Error| Failure::new(format!("the terminal cannot be used: {error}"));
    // Restores the terminal on a panic as well.
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let outcome = show(&mut terminal, &context.home.socket()).await;
    ratatui::try_restore().map_err(failed)?;
    outcome
}

async fn show(terminal: &mut ratatui::DefaultTerminal, socket: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("the terminal cannot be used: {error}"));
    let (sender, mut news) = mpsc::channel(256);
    let wanted = Wanted(Arc::new(AtomicBool::new(true)));
    let keys = (sender.clone(), Arc::clone(&wanted.0));
    std::thread::Builder::new()
        .name("keys".to_owned())
        .spawn(move || read_keys(&keys.0, &keys.1))
        .map_err(failed)?;
    let looks = tokio::spawn(look(socket.to_owned(), sender.clone()));
    let logs = tokio::spawn(follow(socket.to_owned(), sender));
    let mut end = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut model = Model::new();
    let outcome = loop {
        if let Err(error) = terminal.draw(|frame| view::draw(frame, &model)) {
            break Err(failed(error));
        }
        let first = tokio::select! {
            Some(first) = news.recv() => first,
            _ = end.recv() => break Ok(()),
            _ = hang_up.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
        };
        // What is there already is shown at once: a flood of lines must not mean as many drawings.
        let mut leave = !take(&mut model, first)?;
        while !leave && let Ok(next) = news.try_recv() {
            leave = !take(&mut model, next)?;
        }
        if leave {
            break Ok(());
        }
    };
    looks.abort();
    logs.abort();
    drop(wanted);
    outcome
}

/// False: leave.
fn take(model: &mut Model, news: News) -> Result<bool, Failure> {
    match news {
        News::Processes(apps, specs) => model.update(&apps, &specs),
        News::Log(line) => model.log(&line),
        News::Trouble(text) => model.trouble = Some(text),
        News::Key(key) => return Ok(model.key(key)),
        News::Resized => {}
        News::NoKeys(reason) => return Err(Failure::new(format!("the terminal is gone: {reason}"))),
    }
    Ok(true)
}

/// Ends the thread that reads keys when it is dropped.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn read_keys(sender: &mpsc::Sender<News>, wanted: &AtomicBool) {
    while wanted.load(Ordering::Relaxed) {
        let event = match event::poll(KEY_POLL) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let news = match event {
            Ok(Event::Key(key)) => key_of(key).map(News::Key),
            Ok(Event::Resize(..)) => Some(News::Resized),
            Ok(_) => None,
            Err(error) => Some(News::NoKeys(error.to_string())),
        };
        let last = matches!(news, Some(News::NoKeys(_)));
        if news.is_some_and(|news| sender.blocking_send(news).is_err()) || last {
            return;
        }
    }
}

fn key_of(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
        KeyCode::Left => Some(Key::Left),
        KeyCode::Right | KeyCode::Tab => Some(Key::Right),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Move(-1)),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Move(1)),
        KeyCode::PageUp => Some(Key::Move(-10)),
        KeyCode::PageDown => Some(Key::Move(10)),
        KeyCode::Home => Some(Key::First),
        KeyCode::End => Some(Key::Last),
        _ => None,
    }
}

/// Looks at the processes again and again.
async fn look(socket: std::path::PathBuf, sender: mpsc::Sender<News>) {
    let mut client = None;
    loop {
        let (news, pause) = match look_once(&mut client, &socket).await {
            Ok((apps, specs)) => (News::Processes(apps, specs), REFRESH),
            Err(error) => {
                client = None;
                (News::Trouble(format!("{error}; trying again")), RETRY)
            }
        };
        if sender.send(news).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

async fn look_once(
    client: &mut Option<Client>,
    socket: &Path,
) -> Result<(Vec<AppStatus>, Vec<AppSpec>), ClientError> {
    let client = match client {
        Some(client) => client,
        None => client.insert(Client::connect(socket).await?),
    };
    Ok((client.list().await?, client.specs(None).await?))
}

/// Hands on every log line; after a connection was lost, those since the last one.
async fn follow(socket: std::path::PathBuf, sender: mpsc::Sender<News>) {
    let mut since = None;
    loop {
        if let Ok(client) = Client::connect(&socket).await {
            let request = LogsRequest { lines: FIRST_LINES, follow: true, since, ..LogsRequest::default() };
            if let Ok(mut stream) = client.logs(request).await {
                while let Ok(Some(line)) = stream.next().await {
                    since = Some(line.at + chrono::TimeDelta::microseconds(1));
                    if sender.send(News::Log(line)).await.is_err() {
                        return;
                    }
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}
